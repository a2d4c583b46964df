"""What others have written, as it is shown in a terminal: letter by letter, and without any effect."""

from typing import Final

import typer
from rich.text import Text

_C0_PICTURES: Final = 0x2400
_DELETE: Final = 0x7F
_UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
# Those of C1 begin what a terminal obeys, like ESC; the others let a line be read in another order.
_INVISIBLE: Final = (
    *range(0x80, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    0x2028,
    0x2029,
)
_HARMLESS: Final = {
    **{code: chr(_C0_PICTURES + code) for code in range(0x20) if chr(code) not in "\n\t"},
    _DELETE: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(_INVISIBLE, _UNKNOWN),
}


def plain(text: str) -> str:
    """The text with a picture in place of whatever would move a cursor; lines and tabs stay."""
    return text.replace("\r\n", "\n").translate(_HARMLESS)


def as_text(value: object) -> Text:
    """A value for Rich, which takes square brackets and colons in it for what they are."""
    return Text(plain(str(value)))


def say(text: str = "", *, err: bool = False) -> None:
    """A line on standard output, or on standard error."""
    typer.echo(plain(text), err=err)


def counted(number: int, one: str, several: str = "") -> str:
    """`1 mail`, `2 mails`; `several` where it is not made by an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
