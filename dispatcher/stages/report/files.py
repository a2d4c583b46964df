"""Rows of cells as files that spreadsheets open: CSV, and workbooks. No cell ever runs as a formula."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import IO, Final

from xlsxwriter import Workbook  # type: ignore[import-untyped] # it carries no types

CHUNK: Final = 256 * 1024
SHEET_ROWS: Final = 1_048_575
"""What a sheet holds below its header; more rows go on another sheet."""
_CELL_LENGTH: Final = 32_767

# What a spreadsheet would run as a formula; a phone number is a known exception, and stays text.
_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]")
_PHONE: Final = re.compile(r"\+[0-9•]{3,15}")


def guarded(cell: str) -> str:
    """The cell, with an apostrophe in front where a spreadsheet would take it for a formula."""
    if _FORMULA.match(cell) and not _PHONE.fullmatch(cell):
        return f"'{cell}"
    return cell


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """The rows as CSV text (RFC 4180), guarded."""
    text = io.StringIO()
    csv.writer(text).writerows([guarded(cell) for cell in row] for row in rows)
    return text.getvalue()


class Sheets:
    """A workbook written from top to bottom in constant memory; blocking, so not for the event loop.

    What is written waits in temporary files of this process, as scratch, until `close` packs it into
    `out`. Each sheet repeats the header.
    """

    def __init__(
        self, out: IO[bytes], header: Sequence[str], *, now: datetime, sheet_rows: int = SHEET_ROWS
    ) -> None:
        # Cells are written as text and nothing else, so nothing in them can be a formula or a link.
        self._book = Workbook(out, {"constant_memory": True})
        self._book.set_properties({"created": now.replace(tzinfo=None)})
        self._bold = self._book.add_format({"bold": True})
        self._header = header
        self._sheet_rows = sheet_rows
        self._begin()

    def _begin(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        for column, name in enumerate(self._header):
            self._sheet.write_string(0, column, name, self._bold)
        self._row = 0

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Append rows."""
        for row in rows:
            if self._row == self._sheet_rows:
                self._begin()
            self._row += 1
            for column, cell in enumerate(row):
                if cell:
                    self._sheet.write_string(self._row, column, cell[:_CELL_LENGTH])

    def close(self) -> None:
        """Pack everything into `out`."""
        self._book.close()


def pieces(content: bytes) -> Iterator[bytes]:
    """The content in chunks of at most CHUNK bytes."""
    for begin in range(0, len(content), CHUNK):
        yield content[begin : begin + CHUNK]
