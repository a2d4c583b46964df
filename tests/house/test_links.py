"""A link to the database that is dead and looks alive holds nobody up for long, and leaves the pool."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr

from dispatcher.config import DatabaseSettings
from dispatcher.db import AWAY, Pool, open_pool, open_session
from tests.chaos.proxy import Link, link_to

# Generous: what is promised is a second and a half, twice where a transaction is undone.
SOON_S = 15.0


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    async with link_to(database_url) as link:
        yield link


def limits(link: Link) -> DatabaseSettings:
    return DatabaseSettings(
        url=SecretStr(link.dsn),
        pool_min=1,
        pool_max=2,
        statement_timeout_s=1,
        link_timeout_s=0.5,
        connect_timeout_s=1,
    )


@pytest.fixture
async def pool(link: Link) -> AsyncIterator[Pool]:
    pool = await open_pool(link.dsn, limits(link))
    yield pool
    pool.terminate()


async def ask(pool: Pool) -> int:
    pid: int = await pool.fetchval("select pg_backend_pid()")
    return pid


async def in_a_transaction(pool: Pool) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("select 1")


async def gives_up(work: Awaitable[object]) -> bool:
    """Whether it ends by itself, and soon, for want of a database."""
    (outcome,) = await asyncio.wait_for(asyncio.gather(work, return_exceptions=True), SOON_S)
    return isinstance(outcome, AWAY)


async def until_answered(pool: Pool) -> int:
    """The connection that answers when the link is there again."""
    while True:
        with suppress(*AWAY):
            return await ask(pool)


@pytest.mark.fault(13)
@pytest.mark.parametrize("heal", ["thaw", "lose"])
async def test_everybody_who_asks_over_a_dead_link_gives_up_and_later_asks_over_another(
    pool: Pool, link: Link, heal: str
) -> None:
    before = await ask(pool)
    link.freeze()
    # More than there are connections: the last ones wait at the pool.
    asking = [in_a_transaction(pool) for _ in range(5)]
    outcomes = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), SOON_S)
    assert all(isinstance(outcome, AWAY) for outcome in outcomes), outcomes
    getattr(link, heal)()
    assert await asyncio.wait_for(until_answered(pool), SOON_S) != before


@pytest.mark.fault(13)
async def test_nothing_that_ends_or_begins_hangs_on_a_dead_link(pool: Pool, link: Link) -> None:
    session = await open_session(link.dsn, limits(link), application_name="test")
    held = await pool.acquire()
    link.freeze()
    assert await gives_up(session.fetchval("select 1"))
    await gives_up(session.close(timeout=0.5))
    assert await gives_up(held.fetchval("select 1"))
    await gives_up(pool.release(held))
    assert await gives_up(open_pool(link.dsn, limits(link)))
    await gives_up(pool.close())


@pytest.mark.fault(14)
async def test_who_waits_for_a_connection_that_never_comes_is_told(pool: Pool) -> None:
    held = [await pool.acquire() for _ in range(2)]
    assert await gives_up(pool.fetchval("select 1"))
    for conn in held:
        await pool.release(conn)
    assert await pool.fetchval("select 1") == 1


async def test_the_kernel_watches_the_link_on_both_sides(link: Link) -> None:
    patient = limits(link).model_copy(update={"link_timeout_s": 8.0})
    conn: Any = await open_session(link.dsn, patient, application_name="test")
    mine = conn._transport.get_extra_info("socket")
    assert mine.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    tcp = {
        name: mine.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"))
        for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")
    }
    assert tcp == {"KEEPIDLE": 2, "KEEPINTVL": 2, "KEEPCNT": 3, "USER_TIMEOUT": 8000}
    # Here PostgreSQL sits at a Unix socket, for which it ignores all but the last.
    assert await conn.fetchval("show client_connection_check_interval") == "8s"
    await conn.close()
