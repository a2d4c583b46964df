"""Every delivery is a line: in the order of the key, in blocks, once each."""

import csv
import io

import pytest

from channels.model import ChannelKind
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.states import DeliveryState
from dispatcher.stages.report import COLUMNS, stream_csv
from dispatcher.stages.report.walk import BLOCK, Position, Walk, next_block
from segments.model import Exclusion
from tests.report.rows import Book, Row, at, lost, told

EMAIL, SMS, SOCIAL = ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.SOCIAL


async def lines(book: Book, *, read_pii: bool = False) -> list[dict[str, str]]:
    text = "".join(
        [piece async for piece in stream_csv(book.conn, book.dispatch, read_pii=read_pii)]
    )
    return list(csv.DictReader(io.StringIO(text)))


async def test_every_delivery_is_a_line_under_the_documented_columns(book: Book) -> None:
    account = await book.account("Big")
    ada, bob = await book.person("Ada", account, EMAIL, SMS), await book.person("Bob", account)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 5), lost(bob, Exclusion.NO_ADDRESS))
    await book.slice("smb", SMS, told(ada, 3))
    _, voice = await book.endpoint(SOCIAL, "@acme")
    await book.slice("", SOCIAL, Row(None, DeliveryState.ACCEPTED, public=voice))
    rows = await lines(book, read_pii=True)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["contact_name"], row["channel"], row["status"]) for row in rows] == [
        ("Bob", "email", "unreachable"),
        ("Ada", "email", "delivered"),
        ("Ada", "sms", "delivered"),
        ("", "social", "accepted"),
    ]
    assert rows[1]["notified_at"] == at(5).isoformat().replace("+00:00", "Z")
    assert (rows[0]["reason"], rows[0]["notified_at"]) == ("no_address", "")
    assert (rows[3]["segment"], rows[3]["account"]) == ("public", "")


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
    assert hidden["contact_name"] == "'=•••"


async def test_more_rows_than_one_block_all_arrive_once(book: Book) -> None:
    account = await book.account("Big")
    ada = await book.person("Ada", account, EMAIL)
    await book.open()
    number = await book.slice("smb", EMAIL, told(ada, 1))
    await book.conn.execute(
        """insert into delivery (update_id, endpoint_id, account_id, slice_id, channel, purpose, state)
           select $1, e, $2, $3, 1, 1, 1 from generate_series(1000001, 1000000 + $4::int) e""",
        book.update,
        account,
        number,
        BLOCK,
    )
    assert len(await lines(book)) == BLOCK + 1
    walk = Walk(book.update, book.dispatch)
    first = await next_block(book.conn, walk, Position())
    assert first is not None
    assert len(first.rows) == BLOCK
    second = await next_block(book.conn, walk, first.after)
    assert second is not None
    assert len(second.rows) == 1
    assert await next_block(book.conn, walk, second.after) is None


async def test_one_account_is_walked_alone_with_whoever_has_no_address(book: Book) -> None:
    big, other = await book.account("Big"), await book.account("Other")
    ada, bob = await book.person("Ada", big, EMAIL), await book.person("Bob", big)
    eve = await book.person("Eve", other, EMAIL)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 1), told(eve, 1), lost(bob, Exclusion.NO_ADDRESS))
    block = await next_block(book.conn, Walk(book.update, book.dispatch, big), Position())
    assert block is not None
    assert [row[COLUMNS.index("contact_name")] for row in block.rows] == ["B•••", "A•••"]


async def test_an_unknown_dispatch_is_refused_before_the_header(book: Book) -> None:
    book.dispatch = 99
    with pytest.raises(RefusedError):
        await lines(book)
