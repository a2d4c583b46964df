"""When the rules change, so do the segments of those already stored."""

import asyncio

import asyncpg

from dispatcher.db import Pool
from segments.model import Db
from segments.rules import Rules, parse_rules
from segments.store import ensure_segments
from segments.store.resegmenting import CHUNK
from tests.segments.builders import LATER, RULES, account, put_accounts


def everybody_in(segment: str) -> Rules:
    return parse_rules(
        f'[[segment]]\nname = "{segment}"\n[[rule]]\nname = "any"\nsegment = "{segment}"\n',
        "rules.toml",
    )


async def segments(conn: Db) -> dict[str, int]:
    rows = await conn.fetch("select segment, count(*) as n from account group by 1")
    return {row["segment"]: row["n"] for row in rows}


async def test_new_rules_move_the_accounts_of_old_ones_once(conn: Db) -> None:
    await put_accounts(conn, account("acme", attributes={"seats": 900}), account("tiny"))
    assert await ensure_segments(conn, RULES, now=LATER) == 0

    assert await ensure_segments(conn, everybody_in("all"), now=LATER) == 2
    assert await segments(conn) == {"all": 2}
    assert await conn.fetchval("select min(updated_at) from account") == LATER
    assert await ensure_segments(conn, everybody_in("all"), now=LATER) == 0

    assert await ensure_segments(conn, RULES, now=LATER) == 2
    assert await segments(conn) == {"enterprise": 1, "smb": 1}


async def test_rules_already_followed_are_not_applied_again(conn: Db) -> None:
    await put_accounts(conn, account("acme"))
    await ensure_segments(conn, RULES, now=LATER)
    await conn.execute("update account set segment = 'left alone'")

    assert await ensure_segments(conn, RULES, now=LATER) == 0
    assert await segments(conn) == {"left alone": 1}


async def test_more_accounts_than_one_chunk_all_move(conn: Db) -> None:
    await put_accounts(conn, *(account(f"a{n}") for n in range(CHUNK + 1)))

    assert await ensure_segments(conn, everybody_in("all"), now=LATER) == CHUNK + 1


async def test_many_processes_that_start_at_once_move_them_once(conn: Db, pool: Pool) -> None:
    await put_accounts(conn, *(account(f"a{n}") for n in range(100)))

    async def start() -> int:
        async with pool.acquire() as own:
            return await ensure_segments(own, everybody_in("all"), now=LATER)

    assert sorted(await asyncio.gather(*(start() for _ in range(4)))) == [0, 0, 0, 100]


async def test_a_record_that_is_written_meanwhile_decides_for_itself(
    conn: Db, database_url: str
) -> None:
    await put_accounts(conn, account("acme"))
    rules = everybody_in("all")
    importer = await asyncpg.connect(database_url)
    try:
        async with importer.transaction():
            await importer.execute(
                "update account set attributes = '{\"tier\": \"new\"}', segment = 'new'"
            )
            moving = asyncio.create_task(ensure_segments(conn, rules, now=LATER))
            waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')"
            while not await importer.fetchval(waits):
                assert not moving.done()
                await asyncio.sleep(0.02)
        assert await moving == 0
    finally:
        await importer.close()
    assert await segments(conn) == {"new": 1}
