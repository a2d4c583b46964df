"""The ledger on disk: one JSON line per accepted request, appended."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

import orjson


class Line(TypedDict):
    """One accepted request: provider, its time (POSIX seconds), ids, and its recipients' keys."""

    provider: str
    at: float
    rq: str
    ref: str
    keys: list[str]


class Journal:
    """Appends are handed to the operating system before the provider answers.

    They survive a killed sandbox, not a pulled plug: nothing here is worth an fsync.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _whole_lines(path)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def lines(self) -> Iterator[Line]:
        """Everything written so far."""
        with self._path.open("rb") as file:
            for line in file:
                yield cast("Line", orjson.loads(line))

    def append(self, line: Line) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()

    def clear(self) -> None:
        self._file.truncate(0)

    def close(self) -> None:
        self._file.close()


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line end; a kill may have cut the line after it."""
    if not path.exists():
        return 0
    return path.read_bytes().rfind(b"\n") + 1
