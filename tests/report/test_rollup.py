from datetime import timedelta

import pytest

from channels.model import ChannelKind, Fact
from dispatcher import tally
from dispatcher.db import Connection, Pool, one_row
from dispatcher.rules.states import STATUS_COUNT, Shown, SliceState
from dispatcher.stages.report import due, roll_up
from segments.model import Exclusion
from tests.report.rows import Book, accepted, at, lost, told, waiting

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


async def rolled(book: Book, seconds: float = 60) -> bool:
    async with book.conn.transaction():
        return await roll_up(book.conn, book.dispatch, now=at(seconds))


async def two_people(book: Book, state: SliceState) -> int:
    account = await book.account("Big")
    ada = await book.person("Ada", account, EMAIL, SMS)
    bob = await book.person("Bob", account, EMAIL)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 7))
    await book.slice("smb", SMS, told(ada, 3))
    await book.slice("smb", EMAIL, waiting(bob), state=state)
    return account


async def test_the_curve_is_stored_on_the_dispatch(book: Book) -> None:
    await two_people(book, SliceState.WAITING)
    await rolled(book)
    row = await book.conn.fetchrow("select curve, curve_at from dispatch")
    assert row is not None
    assert row["curve"] == {
        "people": 2,
        "series": {"any": [[3.0, 1]], "email": [[7.0, 1]], "sms": [[3.0, 1]]},
    }
    assert row["curve_at"] == at(60)


async def test_account_counts_are_written_once_and_again_without_doubling(book: Book) -> None:
    account = await two_people(book, SliceState.WAITING)
    for _ in range(2):
        await rolled(book)
    row = await book.conn.fetchrow("select * from account_update where account_id = $1", account)
    assert row is not None
    expected = [0] * STATUS_COUNT
    expected[Shown.DELIVERED], expected[Shown.QUEUED] = 2, 1
    assert (row["n_by_status"], row["n"], row["first_told_at"]) == (expected, 3, at(3))


async def test_a_dispatch_is_completed_when_nothing_waits_flies_is_in_doubt_or_held(
    book: Book,
) -> None:
    await two_people(book, SliceState.WAITING)
    for state in SliceState:
        await book.conn.execute("update slice set state = $1 where n_by_status[1] = 1", state)
        await book.conn.execute("update dispatch set state = 'sending', completed_at = null")
        over = state is SliceState.DONE
        assert await rolled(book) is over
        ended = at(60) if over else None
        assert await book.conn.fetchval("select completed_at from dispatch") == ended


async def test_a_cancelled_dispatch_stays_cancelled(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    await book.conn.execute("update dispatch set state = 'cancelled'")
    assert not await rolled(book)
    assert await book.conn.fetchval("select state from dispatch") == "cancelled"


async def test_nothing_is_written_while_the_dispatch_is_being_planned(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    await book.conn.execute("update dispatch set state = 'planning'")
    assert not await rolled(book)
    assert await book.conn.fetchval("select count(*) from account_update") == 0


async def test_a_later_wave_adds_to_its_accounts_and_has_a_curve_of_its_own(book: Book) -> None:
    account = await book.account("Big")
    ada, bob = await book.person("Ada", account, EMAIL), await book.person("Bob", account, EMAIL)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 5))
    book.dispatch = await book.conn.fetchval(
        """insert into dispatch (update_id, incident_id, wave, state, created_at)
           select update_id, incident_id, 2, state, created_at from dispatch returning id"""
    )
    await book.slice("smb", EMAIL, told(bob, 9))
    await rolled(book)
    assert await book.conn.fetchval("select n from account_update") == 2
    curve = await book.conn.fetchval("select curve from dispatch where wave = 2")
    assert curve["series"]["any"] == [[9.0, 1]]


async def test_a_second_worker_leaves_the_roll_up_to_the_first(
    book: Book, pool: Pool, conn: Connection
) -> None:
    await two_people(book, SliceState.DONE)
    async with conn.transaction():
        await roll_up(conn, book.dispatch, now=at(1))
        async with pool.acquire() as other, other.transaction():
            assert not await roll_up(other, book.dispatch, now=at(2))


async def due_after(book: Book, *ages: timedelta) -> list[bool]:
    """Whether a roll-up is due so long after second 60, when the last one was."""
    return [bool(await due(book.conn, now=at(60) + age)) for age in ages]


async def test_an_unfinished_dispatch_is_due_every_few_seconds_and_every_minute_as_it_ages(
    book: Book,
) -> None:
    await two_people(book, SliceState.WAITING)
    assert await due(book.conn, now=at(0)) == [book.dispatch]
    await rolled(book, 60)
    brief, long = timedelta(seconds=2), timedelta(seconds=3)
    assert await due_after(book, brief, long) == [False, True]
    await book.conn.execute("update dispatch set planned_at = planned_at - interval '5 hours'")
    assert await due_after(book, timedelta(seconds=59), timedelta(seconds=60)) == [False, True]


@pytest.mark.parametrize(
    "change",
    ["paused_at = planned_at", """curve = '{"people": 3000000, "series": {}}'"""],
    ids=["paused", "large"],
)
async def test_a_paused_or_a_large_dispatch_is_due_every_minute(book: Book, change: str) -> None:
    await two_people(book, SliceState.WAITING)
    await rolled(book, 60)
    await book.conn.execute(f"update dispatch set {change}")
    assert await due_after(book, timedelta(seconds=59), timedelta(seconds=60)) == [False, True]


async def test_a_completed_dispatch_is_due_ever_more_rarely(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    assert await rolled(book, 60)
    hour, brief = timedelta(hours=1), timedelta(seconds=2)
    assert await due_after(book, brief, brief * 2) == [False, True]
    await book.conn.execute("update dispatch set curve_at = curve_at + interval '1 hour'")
    assert await due_after(book, hour + brief * 60, hour * 1.1) == [False, True]
    await book.conn.execute("update dispatch set completed_at = completed_at - interval '31 days'")
    assert await due_after(book, timedelta(days=2)) == [False]


async def test_whoever_waited_longest_is_rolled_up_first(book: Book) -> None:
    await two_people(book, SliceState.WAITING)
    first = book.dispatch
    await rolled(book, 60)
    await book.open(moment=at(1))
    second = book.dispatch
    await rolled(book, 50)
    await book.open(moment=at(2))
    assert await due(book.conn, now=at(600)) == [book.dispatch, second, first]
    await book.open(moment=at(3), state="planning")
    assert book.dispatch not in await due(book.conn, now=at(600))


async def stored(book: Book) -> tuple[object, ...]:
    sql = "select curve, first_told_at from dispatch, account_update"
    return tuple(await one_row(book.conn, sql))


async def test_receipts_that_come_after_the_end_are_rolled_up(book: Book) -> None:
    account = await book.account("Big")
    ada = await book.person("Ada", account, EMAIL)
    await book.open()
    number = await book.slice("smb", EMAIL, accepted(ada))
    assert await rolled(book, 60)
    assert await stored(book) == ({"people": 1, "series": {}}, None)
    await book.prove(number, EMAIL, ada, 70)
    assert await due(book.conn, now=at(75)) == [book.dispatch]
    assert not await rolled(book, 75)
    series = {"any": [[70.0, 1]], "email": [[70.0, 1]]}
    assert await stored(book) == ({"people": 1, "series": series}, at(70))


async def test_an_earlier_proof_that_moves_no_counter_is_rolled_up(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    await rolled(book, 60)
    number, endpoint = await one_row(
        book.conn, f"select slice_id, endpoint_id from delivery where channel = {SMS.code}"
    )
    await book.receipt(SMS, endpoint, Fact.OPENED, 2)
    await tally.touch(book.conn, [number])
    await rolled(book, 70)
    assert await book.conn.fetchval("select first_told_at from account_update") == at(2)


async def test_a_quiet_dispatch_is_only_looked_at(book: Book) -> None:
    await two_people(book, SliceState.WAITING)
    await rolled(book, 60)
    await book.conn.execute("update account_update set n = 77")
    await rolled(book, 70)
    assert await book.conn.fetchval("select n from account_update") == 77
    assert await book.conn.fetchval("select curve_at from dispatch") == at(70)


async def test_the_curve_of_a_released_draft_starts_when_it_was_released(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    await book.conn.execute("update dispatch set created_at = $1", at(2))
    await rolled(book)
    curve = await book.conn.fetchval("select curve from dispatch")
    assert curve["series"]["any"] == [[1.0, 1]]


async def test_a_row_withheld_for_a_reason_counts_for_its_account(book: Book) -> None:
    account = await book.account("Big")
    ada = await book.person("Ada", account)
    await book.open()
    await book.slice("smb", EMAIL, lost(ada, Exclusion.NO_ADDRESS))
    await rolled(book)
    counts = await book.conn.fetchval("select n_by_status from account_update")
    assert counts[Shown.UNREACHABLE] == 1
