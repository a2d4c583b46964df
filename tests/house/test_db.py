"""The pool, migrations and retries keep what they promise."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import asyncpg
import pytest

from dispatcher.config import DatabaseSettings, Settings
from dispatcher.db import (
    RETRIES,
    Connection,
    DatabaseUnavailableError,
    Migration,
    MigrationError,
    Pool,
    database_clock,
    in_transaction,
    migrate,
    open_pool,
    shipped_migrations,
)


async def test_json_values_go_in_and_come_out_as_python_objects(conn: Connection) -> None:
    value = {"a": [1, 2.5, None], "ü": True}
    assert await conn.fetchval("select $1::jsonb", value) == value
    assert await conn.fetchval("select $1::json", value) == value


async def test_json_values_can_be_copied(conn: Connection) -> None:
    await conn.execute("create temporary table t (a jsonb)")
    await conn.copy_records_to_table("t", records=[({"x": 1},)], columns=["a"])
    assert await conn.fetchval("select a from t") == {"x": 1}


async def test_connections_speak_utc_and_give_up_on_slow_statements(
    database_url: str, settings: Settings
) -> None:
    impatient = settings.database.model_copy(update={"statement_timeout_s": 0.1})
    pool = await open_pool(database_url, impatient)
    try:
        assert await pool.fetchval("show timezone") == "UTC"
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.fetchval("select pg_sleep(30)")
    finally:
        await pool.close()


async def test_database_clock_is_aware(conn: Connection) -> None:
    now = await database_clock(conn)
    assert now.tzinfo is UTC
    assert isinstance(now, datetime)


@pytest.mark.parametrize(
    ("dsn", "sentence"),
    [
        (
            "postgresql://joe:hunter2@127.0.0.1:1/shop",
            (
                "Cannot use the database at 127.0.0.1:1/shop: nobody answers there; "
                "check that PostgreSQL runs, and host and port."
            ),
        ),
        (
            "mysql://joe:hunter2@127.0.0.1/shop",
            "database.url is not a PostgreSQL address (postgresql://user@host:5432/name).",
        ),
        (
            "postgresql://joe:hunter2@127.0.0.1:port/shop",
            "database.url is not a PostgreSQL address (postgresql://user@host:5432/name).",
        ),
    ],
)
async def test_an_unusable_database_is_named_without_its_password(dsn: str, sentence: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        _ = await open_pool(dsn, DatabaseSettings())
    assert str(caught.value) == sentence


async def test_a_missing_database_is_told_apart_from_a_missing_server(
    database_url: str, settings: Settings
) -> None:
    dsn = database_url.replace("/test_", "/no_such_")
    with pytest.raises(DatabaseUnavailableError, match="there is no such database; create it"):
        _ = await open_pool(dsn, settings.database)


async def test_a_migrated_database_needs_nothing_more(conn: Connection) -> None:
    assert await migrate(conn) == []


async def test_many_migrators_at_once_apply_each_step_once(pool: Pool) -> None:
    known = shipped_migrations()
    steps = [*known, Migration(len(known) + 1, "probe", "create table probe ()")]

    async def one() -> list[int]:
        async with pool.acquire() as conn:
            return await migrate(conn, steps)

    applied = await asyncio.gather(*(one() for _ in range(5)))
    assert sorted(applied) == [[], [], [], [], [len(steps)]]


async def test_a_failing_step_leaves_nothing_behind(conn: Connection) -> None:
    known = shipped_migrations()
    broken = Migration(len(known) + 1, "broken", "create table half (); select no_such_column")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(conn, [*known, broken])
    assert await conn.fetchval("select to_regclass('half')") is None
    assert await migrate(conn) == []


async def test_a_changed_migration_is_refused(conn: Connection) -> None:
    first, *rest = shipped_migrations()
    with pytest.raises(MigrationError, match=r"0001_\w+ was changed after it had been applied"):
        await migrate(conn, [replace(first, sql=first.sql + "-- x"), *rest])


async def test_a_database_newer_than_the_program_is_refused(conn: Connection) -> None:
    with pytest.raises(MigrationError, match="a newer Tidings has been here"):
        await migrate(conn, [])


@pytest.mark.fault(15)
async def test_a_deadlock_is_tried_again_and_counted(pool: Pool) -> None:
    await pool.execute("create table t (id int primary key, n int)")
    await pool.execute("insert into t values (1, 0), (2, 0)")
    both_hold_one = asyncio.Barrier(2)
    counter = RETRIES.labels(conflict="DeadlockDetectedError")
    before = counter._value.get()

    def crossing(first: int, second: int) -> "asyncio.Task[None]":
        met = False

        async def work(conn: Connection) -> None:
            nonlocal met
            await conn.execute("update t set n = n + 1 where id = $1", first)
            if not met:
                met = True
                await both_hold_one.wait()
            await conn.execute("update t set n = n + 1 where id = $1", second)

        return asyncio.create_task(in_transaction(pool, work, rng=Random(1)))

    await asyncio.gather(crossing(1, 2), crossing(2, 1))
    assert [row["n"] for row in await pool.fetch("select n from t")] == [2, 2]
    assert counter._value.get() == before + 1


@pytest.mark.fault(15)
async def test_retries_end_with_the_conflict_itself(pool: Pool) -> None:
    calls = 0

    async def work(conn: Connection) -> None:
        nonlocal calls
        calls += 1
        await conn.execute(
            "do $$ begin raise exception 'no' using errcode = 'serialization_failure'; end $$"
        )

    with pytest.raises(asyncpg.SerializationError):
        await in_transaction(pool, work, rng=Random(1), attempts=3)
    assert calls == 3
