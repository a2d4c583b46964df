"""Rows on their way into temporary tables, as the text that COPY reads.

Text is made in a third of the time that asyncpg needs for its binary form, and by whoever reads the
records, so that the connection only has bytes to pass on.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import time
from typing import Final, TypeAlias

from segments.model import Db

Cell: TypeAlias = str | bool | int | bytes | time | list[str] | None
"""What a column of a temporary table may hold; a list is text[]."""

# Whatever COPY would take for an end of cell or line, or for an escape.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _text(value: str) -> str:
    return value.translate(_ESCAPES)


def _array(values: list[str]) -> str:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in values)
    inside = '","'.join(quoted)
    return _text(f'{{"{inside}"}}') if values else "{}"


_WRITTEN: Final[Mapping[type, Callable[..., str]]] = {
    str: _text,
    int: str,
    bool: lambda value: "t" if value else "f",
    bytes: lambda value: rf"\\x{value.hex()}",
    time: time.isoformat,
    list: _array,
    type(None): lambda _: r"\N",
}


def copy_line(*cells: Cell) -> str:
    """One row in the text format of COPY, with its line break."""
    return "\t".join([_WRITTEN[type(cell)](cell) for cell in cells]) + "\n"


class Staged:
    """Records of one chunk as rows: which lines they came from, and the text for each table."""

    def __init__(self) -> None:
        self._rows: dict[str, list[str]] = {}

    def add(self, table: str, *cells: Cell) -> None:
        """One more row of a temporary table."""
        self._rows.setdefault(table, []).append(copy_line(*cells))

    def count(self, table: str) -> int:
        """How many rows a temporary table will have."""
        return len(self._rows.get(table, ()))

    async def copy(self, conn: Db) -> None:
        """COPY every row to its temporary table."""
        for table, rows in self._rows.items():
            await conn.copy_to_table(table, source=_whole(rows), schema_name="pg_temp")


async def _whole(rows: list[str]) -> AsyncIterator[bytes]:
    yield "".join(rows).encode()
