"""Files that spreadsheets open: nothing in them runs, nothing is lost between sheets."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.stages.report import mask_email, mask_phone
from dispatcher.stages.report.files import CHUNK, Sheets, csv_lines, guarded, pieces

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# What XML 1.0 can hold; PostgreSQL has no U+0000 either.
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20)


@given(st.text())
def test_no_cell_begins_like_a_formula_unless_it_is_a_phone(cell: str) -> None:
    safe = guarded(cell)
    assert safe.endswith(cell)
    assert safe[:1] not in {"=", "-", "@", "\t", "\r", "\n"}
    assert not safe.startswith("+") or safe[1:].replace("•", "0").isdecimal()


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_csv_is_read_back_as_it_was_written_but_for_the_guard(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(csv_lines(rows), newline="")))
    assert read == [[guarded(cell) for cell in row] for row in rows]


def read_sheets(content: bytes) -> list[list[list[str]]]:
    """Cells of each sheet; fails on anything that is not text."""
    sheets = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/sheet")]
        for number in range(1, len(names) + 1):
            root = ET.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))  # noqa: S314 - our own file
            assert not root.findall(f".//{MAIN}f")
            rows = []
            for row in root.iter(f"{MAIN}row"):
                cells = row.findall(f"{MAIN}c")
                assert all(cell.get("t") == "inlineStr" for cell in cells)
                rows.append([next(cell.iter(f"{MAIN}t")).text or "" for cell in cells])
            sheets.append(rows)
    return sheets


def workbook(rows: list[list[str]], sheet_rows: int) -> bytes:
    out = io.BytesIO()
    sheets = Sheets(out, ["a", "b"], now=NOW, sheet_rows=sheet_rows)
    sheets.add(rows)
    sheets.close()
    return out.getvalue()


def test_a_workbook_holds_formulas_and_links_as_text() -> None:
    rows = [["=1+1", "+2"], ["-3", "@sum"], ["\tx", "https://example.com"]]
    (sheet,) = read_sheets(workbook(rows, 10))
    assert sheet == [["a", "b"], *rows]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9), st.integers(1, 4))
def test_rows_beyond_a_sheet_go_on_the_next_under_the_same_header(count: int, per: int) -> None:
    rows = [[str(number), "x"] for number in range(count)]
    sheets = read_sheets(workbook(rows, per))
    assert all(sheet[0] == ["a", "b"] and len(sheet) <= per + 1 for sheet in sheets)
    assert [row for sheet in sheets for row in sheet[1:]] == rows


@given(st.integers(0, 3 * CHUNK))
def test_pieces_make_up_the_content_and_none_is_too_long(size: int) -> None:
    content = bytes(size)
    cut = list(pieces(content))
    assert b"".join(cut) == content
    assert all(0 < len(piece) <= CHUNK for piece in cut)


@given(st.emails())
def test_a_masked_mail_address_keeps_the_domain_and_one_letter(address: str) -> None:
    masked = mask_email(address)
    assert masked[0] == address[0]
    assert masked[1:] == "•••@" + address.rpartition("@")[2]


@given(st.from_regex(r"\A\+[1-9][0-9]{6,14}\Z"))
def test_a_masked_number_keeps_its_length_and_four_characters(number: str) -> None:
    masked = mask_phone(number)
    assert len(masked) == len(number)
    assert sum(character != "•" for character in masked) == 4
