from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from channels.model import ChannelKind, Fact
from dispatcher import tally
from dispatcher.db import Connection, Pool, one_row
from dispatcher.rules.policy import load_policy
from dispatcher.rules.states import Shown, SliceState
from dispatcher.stages.report import AccountStanding, due, roll_up
from dispatcher.stages.report.rollup import SHARE, is_affordable
from segments.model import Exclusion
from tests.report.rows import Book, accepted, at, lost, told, waiting

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


async def rolled(book: Book, seconds: float = 60) -> bool:
    async with book.conn.transaction():
        return await roll_up(book.conn, book.dispatch, policy=load_policy(None), now=at(seconds))


async def two_people(book: Book, state: SliceState) -> int:
    account = await book.account("Big")
    ada = await book.person("Ada", account, EMAIL, SMS)
    bob = await book.person("Bob", account, EMAIL)
    await book.open()
    await book.slice("smb", EMAIL, told(ada, 7))
    await book.slice("smb", SMS, told(ada, 3))
    await book.slice("smb", EMAIL, waiting(bob), state=state)
    return account


async def test_the_document_is_kept_with_the_moment_it_was_made(book: Book) -> None:
    await two_people(book, SliceState.WAITING)
    await rolled(book)
    row = await one_row(book.conn, "select * from dispatch_report")
    assert row["document"]["curve"] == {
        "people": 2,
        "series": {"any": [[3.0, 1]], "email": [[7.0, 1]], "sms": [[3.0, 1]]},
    }
    assert (row["looked_at"], row["made_at"]) == (at(60), at(60))


async def test_account_counts_are_written_once_and_again_without_doubling(book: Book) -> None:
    account = await two_people(book, SliceState.WAITING)
    for _ in range(2):
        await rolled(book)
    row = await one_row(book.conn, "select * from account_update where account_id = $1", account)
    expected = [
        [EMAIL.code, Shown.QUEUED, 1],
        [EMAIL.code, Shown.DELIVERED, 1],
        [SMS.code, Shown.DELIVERED, 1],
    ]
    assert (row["cells"], row["n"], row["first_told_at"]) == (expected, 3, at(3))
    assert (row["people"], row["notified"], row["waiting"]) == (2, 1, 1)
    assert row["standing"] == AccountStanding.WAITING


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
    curve = await book.conn.fetchval("select document->'curve' from dispatch_report")
    assert curve["series"]["any"] == [[9.0, 1]]


async def test_a_second_worker_leaves_the_roll_up_to_the_first(
    book: Book, pool: Pool, conn: Connection
) -> None:
    await two_people(book, SliceState.DONE)
    async with conn.transaction():
        await roll_up(conn, book.dispatch, policy=load_policy(None), now=at(1))
        async with pool.acquire() as other, other.transaction():
            assert not await roll_up(other, book.dispatch, policy=load_policy(None), now=at(2))


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


async def test_a_paused_dispatch_is_due_every_minute(book: Book) -> None:
    await two_people(book, SliceState.WAITING)
    await rolled(book, 60)
    await book.conn.execute("update dispatch set paused_at = planned_at")
    assert await due_after(book, timedelta(seconds=59), timedelta(seconds=60)) == [False, True]


async def made_at(book: Book, seconds: float) -> object:
    await rolled(book, seconds)
    return await book.conn.fetchval("select made_at from dispatch_report")


async def test_counting_takes_a_twentieth_of_a_workers_time_but_is_done_at_the_end(
    book: Book,
) -> None:
    account = await two_people(book, SliceState.WAITING)
    await rolled(book, 60)
    await book.conn.execute("update dispatch_report set took_s = 10")
    await book.slice("smb", EMAIL, told(await book.person("Eve", account, EMAIL), 9))
    assert await made_at(book, 259) == at(60)
    assert await made_at(book, 260) == at(260)
    await book.conn.execute("update dispatch_report set took_s = 10")
    await book.conn.execute("update slice set state = $1", SliceState.DONE)
    assert await made_at(book, 261) == at(261)
    assert await book.conn.fetchval("select state from dispatch") == "completed"


@given(
    took=st.floats(0, 3600),
    waited=st.floats(0, 100_000),
)
def test_counting_is_affordable_from_twenty_times_its_cost_on(took: float, waited: float) -> None:
    made, waiting = at(0), timedelta(seconds=waited)
    assert is_affordable(None, took, now=made)
    affordable = is_affordable(made, took, now=made + waiting)
    assert affordable == (waiting >= SHARE * timedelta(seconds=took))


async def test_a_completed_dispatch_is_due_ever_more_rarely(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    assert await rolled(book, 60)
    hour, brief = timedelta(hours=1), timedelta(seconds=2)
    assert await due_after(book, brief, brief * 2) == [False, True]
    await book.conn.execute("update dispatch_report set looked_at = looked_at + interval '1 hour'")
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
    sql = "select document->'curve', first_told_at from dispatch_report, account_update"
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
    assert await book.conn.fetchval("select looked_at from dispatch_report") == at(70)


async def test_the_curve_of_a_released_draft_starts_when_it_was_released(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    await book.conn.execute("update dispatch set created_at = $1", at(2))
    await rolled(book)
    curve = await book.conn.fetchval("select document->'curve' from dispatch_report")
    assert curve["series"]["any"] == [[1.0, 1]]


async def test_a_row_withheld_for_a_reason_counts_for_its_account(book: Book) -> None:
    account = await book.account("Big")
    ada = await book.person("Ada", account)
    await book.open()
    await book.slice("smb", EMAIL, lost(ada, Exclusion.NO_ADDRESS))
    await rolled(book)
    counts = await book.conn.fetchval("select cells from account_update")
    assert counts == [[EMAIL.code, Shown.UNREACHABLE, 1]]
