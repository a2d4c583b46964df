import io

from rich.console import Console

from channels.model import ChannelKind, Fact, Reason
from dispatcher.cli.draw import draw_account, draw_report
from dispatcher.db import Connection
from dispatcher.rules.policy import load_policy
from dispatcher.rules.states import DeliveryState
from dispatcher.stages.report import account_deliveries, dispatch_report, roll_up
from segments.model import Exclusion
from tests.report.rows import SIGNER, Book, Row, at, lost, told

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


async def some_dispatch(conn: Connection) -> Book:
    book = Book(conn)
    account = await book.account("Big", "enterprise")
    ada = await book.person("Ada", account, EMAIL, SMS)
    bob, eve = await book.person("Bob", account, EMAIL), await book.person("Eve", account)
    await book.open()
    bounced = Row(
        bob, DeliveryState.ACCEPTED, ((5, Fact.BOUNCED_HARD),), reason=Reason.UNKNOWN_ADDRESS
    )
    await book.slice("enterprise", EMAIL, told(ada, 10), bounced)
    await book.slice("enterprise", EMAIL, lost(eve, Exclusion.NO_ADDRESS))
    await book.slice("enterprise", SMS, told(ada, 4))
    async with book.conn.transaction():
        await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(20))
    return book


async def test_a_report_says_in_80_columns_who_was_told_and_whom_to_call(conn: Connection) -> None:
    book = await some_dispatch(conn)
    report = await dispatch_report(
        book.conn, book.dispatch, signer=SIGNER, policy=load_policy(None), now=at(30)
    )
    out = io.StringIO()
    draw_report(Console(file=out, width=80, highlight=False), report)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "People with proof (delivered or displayed): 1 of 3 (33.3 %)" in text
    assert "The address does not exist" in text
    assert "Could not be reached: 2" in text
    assert "No address at all" in text
    assert "First notice by 2026-11-22 16:00 UTC: met" in text


async def test_an_account_shows_each_message_with_its_history(conn: Connection) -> None:
    book = await some_dispatch(conn)
    found = await account_deliveries(book.conn, "big", signer=SIGNER)
    out = io.StringIO()
    draw_account(Console(file=out, width=120, highlight=False), found)
    assert "Big (big, enterprise, looked after by Mia)" in out.getvalue()
    assert "a•••@example.com" in out.getvalue()
    assert "delivered 12:00:10" in out.getvalue()
