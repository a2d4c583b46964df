"""PostgreSQL: the pool, migrations, and transactions that are tried again after a conflict."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from random import Random
from typing import Final, Protocol, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import Counter

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
T = TypeVar("T")

OLDEST_VERSION: Final = 16
_MIGRATIONS: Final = files("dispatcher") / "migrations"
_MIGRATION_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_ADVISORY_LOCK: Final = 0x7469_6469_6E67_7300  # "tidings" in bytes
_BACKOFF_S: Final = 0.02
STATEMENTS_KEPT: Final = 100
# A process that is frozen inside a transaction must not hold its locks against all the others.
_IDLE_IN_TRANSACTION_S: Final = 10

CREATE_MIGRATION_SQL = """
create table if not exists migration (
    number int primary key, name text not null, checksum text not null, at timestamptz not null)
"""
APPLIED_SQL = "select number, name, checksum from migration order by number"
RECORD_MIGRATION_SQL = """
insert into migration (number, name, checksum, at) values ($1, $2, $3, clock_timestamp())
"""
DATABASE_CLOCK_SQL = "select clock_timestamp()"

RETRIES: Final = Counter(
    "tidings_transaction_retries", "Transactions begun again after a conflict.", ["conflict"]
)


class DatabaseUnavailableError(Exception):
    """PostgreSQL cannot be used; the text names the place, no password, and what to check."""


class MigrationError(Exception):
    """The schema and this program do not fit; nothing was changed."""


class PoolLimits(Protocol):
    """How the pool uses PostgreSQL; times in seconds. The settings' `database` group fits."""

    @property
    def pool_min(self) -> int: ...
    @property
    def pool_max(self) -> int: ...
    @property
    def statement_timeout_s(self) -> float: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def transaction_pooler(self) -> bool: ...


async def open_pool(dsn: str, limits: PoolLimits, *, application_name: str = "tidings") -> Pool:
    """A pool whose connections speak UTC and turn json and jsonb into Python objects and back.

    Raises:
        DatabaseUnavailableError: it cannot be reached, refuses us, or is older than 16.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min(limits.pool_min, limits.pool_max),
            max_size=limits.pool_max,
            timeout=limits.connect_timeout_s,
            init=_prepare,
            # Another session may serve the next transaction, and knows no statement prepared in this.
            statement_cache_size=0 if limits.transaction_pooler else STATEMENTS_KEPT,
            server_settings={
                "application_name": application_name,
                "timezone": "UTC",
                **({} if limits.transaction_pooler else _time_limits(limits)),
            },
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailableError(_sentence(dsn, error)) from None
    async with pool.acquire() as conn:
        version = conn.get_server_version().major
    if version < OLDEST_VERSION:
        await pool.close()
        raise DatabaseUnavailableError(
            f"{describe(dsn)} is PostgreSQL {version}; Tidings needs {OLDEST_VERSION} or later."
        )
    return pool


def _time_limits(limits: PoolLimits) -> dict[str, str]:
    """Poolers refuse them at the start of a session; the role in the database must have them there."""
    return {
        "statement_timeout": str(int(limits.statement_timeout_s * 1000)),
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_S}s",
    }


async def _prepare(conn: Connection) -> None:
    # Binary, because COPY speaks nothing else; jsonb begins with its format's version.
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )
    await conn.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=orjson.loads
    )


def describe(dsn: str) -> str:
    """`host:port/database` of a DSN, for people; never the user or the password."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    where = host or next(iter(query.get("host", [])), "localhost")
    return f"{where}:{port or 5432}{parts.path or '/'}"


def _sentence(dsn: str, error: Exception) -> str:
    where = describe(dsn)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            why = "it refuses the user or the password; check both in database.url."
        case asyncpg.InvalidCatalogNameError():
            why = "there is no such database; create it, or correct the name in database.url."
        case asyncpg.TooManyConnectionsError():
            why = "it has no connection left; lower database.pool_max or raise max_connections."
        case asyncpg.CannotConnectNowError():
            why = "it is starting or stopping; try again in a moment."
        case TimeoutError():
            why = "no answer within database.connect_timeout_s; check host, port and firewall."
        case OSError():
            why = "nobody answers there; check that PostgreSQL runs, and host and port."
        case ValueError():
            return "database.url is not a PostgreSQL address (postgresql://user@host:5432/name)."
        case _:
            why = f"it answered with {type(error).__name__}; see its log."
    return f"Cannot use the database at {where}: {why}"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered, forward-only step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations(folder: Traversable = _MIGRATIONS) -> list[Migration]:
    """The steps this program knows, in order; numbers start at 1 without gaps.

    Raises:
        MigrationError: a file is misnamed, or a number is missing or there twice.
    """
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            parts = _MIGRATION_NAME.fullmatch(file.name)
            if parts is None:
                raise MigrationError(f"migrations/{file.name} is not named like 0001_what.sql.")
            found.append(Migration(int(parts[1]), parts[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda step: step.number)
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migrations/ has a gap or a number twice.")
    return found


async def migrate(conn: Connection, steps: Sequence[Migration] | None = None) -> list[int]:
    """Bring the schema up to date; many processes may call it at once. Returns what was applied.

    Raises:
        MigrationError: an applied file was changed, or the database is newer than this program.
    """
    steps = shipped_migrations() if steps is None else steps
    # Waiting for another migrator, or building an index, may take longer than any statement.
    await conn.execute("set statement_timeout = 0")
    try:
        await conn.execute("select pg_advisory_lock($1)", _ADVISORY_LOCK)
        try:
            return await _apply(conn, steps)
        finally:
            await conn.execute("select pg_advisory_unlock($1)", _ADVISORY_LOCK)
    finally:
        await conn.execute("reset statement_timeout")


async def _apply(conn: Connection, steps: Sequence[Migration]) -> list[int]:
    await conn.execute(CREATE_MIGRATION_SQL)
    applied = await conn.fetch(APPLIED_SQL)
    if len(applied) > len(steps):
        raise MigrationError(
            f"The database is at migration {len(applied)}, this program knows {len(steps)}: "
            "a newer Tidings has been here. Start that version."
        )
    for row, step in zip(applied, steps, strict=False):
        if row["checksum"] != step.checksum:
            raise MigrationError(
                f"Migration {step.number:04d}_{step.name} was changed after it had been applied. "
                "Migrations are forward-only: restore the file and add a new one."
            )
    for step in steps[len(applied) :]:
        async with conn.transaction():
            await conn.execute(step.sql)
            await conn.execute(RECORD_MIGRATION_SQL, step.number, step.name, step.checksum)
    return [step.number for step in steps[len(applied) :]]


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
) -> T:
    """Run `work` in a transaction; begin again, at most `attempts` times, after a conflict.

    Only a deadlock or a serialization failure is a conflict: PostgreSQL has then undone everything.
    The last one is raised as it is. `work` must have no effect outside the transaction.
    """
    for attempt in range(1, attempts + 1):
        try:
            async with pool.acquire() as conn, conn.transaction():
                return await work(conn)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as conflict:
            if attempt == attempts:
                raise
            RETRIES.labels(conflict=type(conflict).__name__).inc()
        await asyncio.sleep(rng.uniform(0, _BACKOFF_S * 2**attempt))
    raise ValueError(f"attempts must be at least 1, not {attempts}")
