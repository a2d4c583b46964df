import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.model import ChannelKind
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import COLUMNS, export_csv, mask_email, mask_phone
from dispatcher.stages.report.export import guarded
from segments.model import Exclusion
from tests.report.rows import Book, at, lost, told

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


async def lines(book: Book, *, read_pii: bool = False) -> list[dict[str, str]]:
    text = "".join(
        [piece async for piece in export_csv(book.conn, book.dispatch, read_pii=read_pii)]
    )
    return list(csv.DictReader(io.StringIO(text)))


async def test_every_delivery_is_a_line_under_the_documented_columns(book: Book) -> None:
    account = await book.account("Big")
    ada, bob = await book.person("Ada", account, EMAIL, SMS), await book.person("Bob", account)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 5), lost(bob, Exclusion.NO_ADDRESS))
    await book.slice("smb", SMS, told(ada, 3))
    rows = await lines(book)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["contact_name"], row["channel"], row["status"]) for row in rows] == [
        ("Bob", "email", "unreachable"),
        ("Ada", "email", "delivered"),
        ("Ada", "sms", "delivered"),
    ]
    assert rows[1]["notified_at"] == at(5).isoformat().replace("+00:00", "Z")
    assert (rows[0]["reason"], rows[0]["notified_at"]) == ("no_address", "")


async def test_a_name_that_is_a_formula_becomes_text_and_a_phone_stays_a_phone(book: Book) -> None:
    ada = await book.person('=HYPERLINK("http://x")', await book.account("+1 Corp"), SMS)
    await book.open()
    await book.slice("smb", SMS, told(ada, 3))
    (row,) = await lines(book, read_pii=True)
    assert row["contact_name"] == '\'=HYPERLINK("http://x")'
    assert row["account_name"] == "'+1 Corp"
    assert row["address"].startswith("+1555010")
    (hidden,) = await lines(book)
    assert hidden["address"].startswith("+1•")


async def test_more_rows_than_one_piece_all_arrive_once(book: Book) -> None:
    account = await book.account("Big")
    people = [await book.person(f"P{number}", account, EMAIL) for number in range(1_005)]
    await book.open()
    await book.slice("smb", EMAIL, *(told(person, 1) for person in people))
    assert len({row["contact"] for row in await lines(book)}) == 1_005


async def test_an_unknown_dispatch_is_refused_before_the_header(book: Book) -> None:
    book.dispatch = 99
    with pytest.raises(RefusedError):
        await lines(book)


@given(st.text())
def test_no_cell_begins_like_a_formula_unless_it_is_a_phone(cell: str) -> None:
    safe = guarded(cell)
    assert safe.endswith(cell)
    assert safe[:1] not in {"=", "-", "@", "\t", "\r", "\n"}
    assert not safe.startswith("+") or safe[1:].replace("•", "0").isdecimal()


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
