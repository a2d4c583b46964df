"""The wall stands for one transaction, whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from dispatcher.config import DatabaseSettings
from dispatcher.db import Connection, Pool, open_pool
from dispatcher.web.walls import behind_wall

STATE_SQL = "select current_user, coalesce(current_setting('tidings.user', true), '') as person"
NAMES_SQL = "select name from account order by name"


@pytest.fixture
async def mia(pool: Pool) -> int:
    """The number of an account manager with one of two accounts."""
    await pool.execute(
        """insert into account
               (external_id, name, segment, segment_rule, manager_email, created_at, updated_at)
           values ('n', 'North', 'smb', '', 'Mia@Example.com', $1, $1),
                  ('s', 'South', 'smb', '', '', $1, $1)""",
        datetime.now(UTC),
    )
    number: int = await pool.fetchval(
        """insert into users (email, name, role, created_at, updated_at)
           values ('mia@example.com', 'Mia', 'account_manager', $1, $1) returning id""",
        datetime.now(UTC),
    )
    return number


@pytest.fixture
async def one(database_url: str) -> Pool:
    """A pool whose next user gets the connection of the one before."""
    return await open_pool(database_url, DatabaseSettings(pool_max=1), size=(1, 1))


async def _names(conn: Connection) -> list[str]:
    return [row["name"] for row in await conn.fetch(NAMES_SQL)]


async def test_nothing_of_the_wall_reaches_the_next_user_of_the_connection(
    one: Pool, mia: int
) -> None:
    async with one.acquire() as conn:
        owner = await conn.fetchrow(STATE_SQL)
        async with behind_wall(conn, mia):
            assert await conn.fetchval("select current_setting('tidings.user')") == str(mia)
        # Not even to whoever goes on with it at once.
        assert await conn.fetchrow(STATE_SQL) == owner

    async def ends_well(conn: Connection) -> None:
        assert await _names(conn) == ["North"]

    async def fails_here(conn: Connection) -> None:
        assert await _names(conn) == ["North"]
        raise LookupError

    async def fails_there(conn: Connection) -> None:
        await conn.fetch("select 1 / 0")

    async def is_cancelled(conn: Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.05, task.cancel)
        await conn.execute("select pg_sleep(20)")

    async def reads(work: Callable[[Connection], Awaitable[None]]) -> None:
        async with one.acquire() as conn, behind_wall(conn, mia):
            await work(conn)

    for work in (ends_well, fails_here, fails_there, is_cancelled):
        await asyncio.wait([asyncio.ensure_future(reads(work))])
        async with one.acquire() as conn:
            # The statement that was prepared behind the wall is planned anew for its owner.
            assert await _names(conn) == ["North", "South"], work.__name__
            assert await conn.fetchrow(STATE_SQL) == owner
            await conn.execute("update account set name = name")
    await one.close()


async def test_who_is_disabled_or_nobody_has_no_accounts(pool: Pool, mia: int) -> None:
    await pool.execute("update users set disabled_at = now() where id = $1", mia)
    async with pool.acquire() as conn:
        for person in (mia, mia + 1, None):
            async with behind_wall(conn, person):
                assert await _names(conn) == []
        assert await conn.fetchval("select count(*) from own_accounts()") == 0
