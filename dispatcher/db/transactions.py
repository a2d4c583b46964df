"""Ask the database: one row, its clock, and transactions that are begun again after a conflict."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from random import Random
from typing import Final, TypeVar

import asyncpg
from prometheus_client import Counter

from dispatcher.db.connections import Connection, Pool

T = TypeVar("T")
_BACKOFF_S: Final = 0.02

DATABASE_CLOCK_SQL = "select clock_timestamp()"

RETRIES: Final = Counter(
    "tidings_transaction_retries", "Transactions begun again after a conflict.", ["conflict"]
)


async def one_row(conn: Connection, statement: str, *args: object) -> asyncpg.Record:
    """The row of a statement that always has one. Raises LookupError when it had none after all."""
    row = await conn.fetchrow(statement, *args)
    if row is None:
        raise LookupError("a statement that always returns a row returned none")
    return row


async def database_clock(conn: Connection) -> datetime:
    """The database's own time: for leases, which processes on several machines compare."""
    now: datetime = await conn.fetchval(DATABASE_CLOCK_SQL)
    return now


async def in_transaction(
    pool: Pool,
    work: Callable[[Connection], Awaitable[T]],
    *,
    rng: Random,
    attempts: int = 4,
    wait_s: float | None = None,
) -> T:
    """Run `work` in a transaction; begin again, at most `attempts` times, after a conflict.

    `wait_s`: for a free connection, else as long as the pool thinks fit; TimeoutError after that.

    Only a deadlock or a serialization failure is a conflict: PostgreSQL has then undone everything.
    The last one is raised as it is. `work` must have no effect outside the transaction.
    """
    for attempt in range(1, attempts + 1):
        try:
            async with pool.acquire(timeout=wait_s) as conn, conn.transaction():
                return await work(conn)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as conflict:
            if attempt == attempts:
                raise
            RETRIES.labels(conflict=type(conflict).__name__).inc()
        await asyncio.sleep(rng.uniform(0, _BACKOFF_S * 2**attempt))
    raise ValueError(f"attempts must be at least 1, not {attempts}")
