"""How verbs show lists and single things: the same options, the same words for none and for more."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import typer
from pydantic import BaseModel

from dispatcher.cli.base import console, print_json, table
from dispatcher.cli.plain import as_text, plain, say

Limit: TypeAlias = Annotated[int, typer.Option(help="How many at once.", min=1, max=200)]
Cursor: TypeAlias = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="Where the page before ended.")
]
Since: TypeAlias = Annotated[
    datetime | None, typer.Option(help="Not before this moment; UTC where no zone is given.")
]
Until: TypeAlias = Annotated[
    datetime | None, typer.Option(help="Before this moment; UTC where no zone is given.")
]
Addresses: TypeAlias = Annotated[
    bool, typer.Option("--addresses", help="Show names and addresses in full.")
]


def in_a_zone(given: datetime | None) -> datetime | None:
    """The moment that an option means."""
    return given.replace(tzinfo=given.tzinfo or UTC) if given else None


def print_model(found: BaseModel) -> None:
    """What the API answers, indented."""
    print_json(found.model_dump(mode="json"))


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    none: str,
    cursor: str | None = None,
    right: Sequence[str] = (),
) -> None:
    """A table, or the sentence `none`; and how to see more where there is a `cursor`."""
    out = console()
    if not rows:
        out.print(as_text(none))
    else:
        out.print(table(columns, rows, right=right))
    say_more(cursor)


def say_more(cursor: str | None) -> None:
    """How to see what comes next in a list, where anything does."""
    if cursor:
        console().print(as_text(f"\nThere are more: --cursor {cursor}"), soft_wrap=True)


def print_fields(fields: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
    """One thing, a line for each field that says something."""
    pairs = dict(fields)
    shown = {name: _text(value) for name, value in pairs.items()}
    told = {name: text for name, text in shown.items() if text}
    width = max(map(len, told), default=0)
    for name, text in told.items():
        # A line that looked like the next field would be believed.
        lines = plain(text).replace("\n", "\n" + " " * (width + 2))
        say(f"{name + ':':<{width + 1}} {lines}")


def when(moment: datetime | None, nothing: str = "") -> str:
    """To the minute, UTC."""
    return f"{moment:%Y-%m-%d %H:%M}" if moment else nothing


def _words(name: str) -> str:
    """Of a field that lists ids, what they are the ids of."""
    return f"{name[:-4]}s" if name.endswith("_ids") else name.replace("_", " ")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{when(value)} UTC"
    if isinstance(value, Mapping):
        told = {name: _text(inner) for name, inner in value.items()}
        return "; ".join(f"{_words(name)} {text}" for name, text in told.items() if text)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
