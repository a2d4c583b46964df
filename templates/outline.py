"""A long message as a list of blocks, read from the words files; laid out as HTML and as text.

The first sign of a line says what it is. Values that templates insert are marked by `as_value`,
so no fact, whatever it contains, is ever taken for such a sign.
"""

from dataclasses import dataclass

_VALUE = "\x02"  # stands before every inserted value; facts cannot contain it
_SOFT_BREAK = "\x0b"  # a line break inside a value

_ONE_LINERS = {
    "^": "preheader",
    "~": "state",
    "#": "title",
    "##": "heading",
    "!": "notice",
}
_LISTS = {"1.": "steps", "-": "points"}
_LINKS = {"=>": "link", "==>": "button"}
_RULE = "---"
_ENDS_SECTION = {"heading", "button", "link", "rule"}
_CONTINUING = {"paragraph", "steps", "points"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One piece of a message; `kind` is a word of the tables above, `paragraph` or `rule`.

    `text` may hold line breaks; `items` are those of a list; `url` that of a link or button.
    """

    kind: str
    text: str = ""
    items: tuple[str, ...] = ()
    url: str = ""


def as_value(value: object) -> str:
    """How templates print a value: guarded, so that it cannot start a block."""
    return _VALUE + str(value).replace("\n", _SOFT_BREAK)


def as_line(rendered: str) -> str:
    """A short message: everything a template printed, as one line."""
    return " ".join(rendered.replace(_VALUE, "").replace(_SOFT_BREAK, " ").split())


def read_outline(rendered: str) -> tuple[Block, ...]:
    """The blocks of a rendered words file."""
    blocks: list[Block] = []
    goes_on = False
    for line in rendered.split("\n"):
        if not _clean(line):
            goes_on = False
            continue
        block = _block(line.strip(" "))
        if goes_on and blocks[-1].kind == block.kind and block.kind in _CONTINUING:
            blocks[-1] = _joined(blocks[-1], block)
        else:
            blocks.append(block)
        goes_on = True
    return tuple(_without_empty_sections(blocks))


def _without_empty_sections(blocks: list[Block]) -> list[Block]:
    """Headings under which there was nothing to say go."""
    following = [*blocks[1:], Block(kind="rule")]
    return [
        block
        for block, after in zip(blocks, following, strict=True)
        if block.kind != "heading" or after.kind not in _ENDS_SECTION
    ]


def _block(line: str) -> Block:
    if line == _RULE:
        return Block(kind="rule")
    sign, _, rest = line.partition(" ")
    if sign in _ONE_LINERS:
        return Block(kind=_ONE_LINERS[sign], text=_clean(rest))
    if sign in _LISTS:
        return Block(kind=_LISTS[sign], items=(_clean(rest),))
    if sign in _LINKS:
        url, _, label = rest.partition(" ")
        return Block(kind=_LINKS[sign], text=_clean(label), url=_clean(url))
    return Block(kind="paragraph", text=_clean(line))


def _joined(block: Block, more: Block) -> Block:
    if block.kind == "paragraph":
        return Block(kind="paragraph", text=f"{block.text} {more.text}")
    return Block(kind=block.kind, items=block.items + more.items)


def _clean(text: str) -> str:
    return text.replace(_VALUE, "").replace(_SOFT_BREAK, "\n").strip()
