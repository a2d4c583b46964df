from datetime import timedelta

from channels.model import ChannelKind
from dispatcher.db import Connection, Pool
from dispatcher.rules.states import STATUS_COUNT, Shown, SliceState
from dispatcher.stages.report import due, roll_up
from segments.model import Exclusion
from tests.report.rows import Book, at, lost, told, waiting

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


async def test_a_dispatch_is_completed_when_nothing_waits_flies_or_is_in_doubt(book: Book) -> None:
    await two_people(book, SliceState.WAITING)
    for state in SliceState:
        await book.conn.execute("update slice set state = $1 where n_by_status[1] = 1", state)
        await book.conn.execute("update dispatch set state = 'sending', completed_at = null")
        over = state in {SliceState.DONE, SliceState.HELD}
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


async def test_a_roll_up_is_due_until_receipts_have_stopped_coming(book: Book) -> None:
    await two_people(book, SliceState.DONE)
    assert await due(book.conn, now=at(0)) == [book.dispatch]
    await rolled(book, 60)
    ended = at(60)
    for age, wanted in (
        (timedelta(minutes=1), True),
        (timedelta(minutes=16), True),  # the stored curve is older than ten minutes
        (timedelta(days=4), False),
    ):
        assert await due(book.conn, now=ended + age) == ([book.dispatch] if wanted else [])


async def test_a_row_withheld_for_a_reason_counts_for_its_account(book: Book) -> None:
    account = await book.account("Big")
    ada = await book.person("Ada", account)
    await book.open()
    await book.slice("smb", EMAIL, lost(ada, Exclusion.NO_ADDRESS))
    await rolled(book)
    counts = await book.conn.fetchval("select n_by_status from account_update")
    assert counts[Shown.UNREACHABLE] == 1
