"""A real PostgreSQL for every test: one embedded server per run, one migrated clone per test."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

from dispatcher.config import DatabaseSettings, EmbeddedSettings, Settings
from dispatcher.db import Connection, Pool, migrate, open_pool
from dispatcher.embedded import shared_postgres
from tests.places import for_clusters

_TEMPLATE = "tidings_template"
_CLONE_LOCK = 7
_ABANDONED_AFTER_S = 3600
_clone_numbers = itertools.count(1)

# The cluster of the tests is thrown away, so it need not survive a power cut. A killed server loses
# nothing by this; only numbers measured here would flatter.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "256MB",
}


# A test may not fail because the machine is busy: pytest-timeout alone says how long is too long.
hypothesis_settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _plain_tracebacks() -> None:
    """Where rich is installed, structlog draws every frame with all its variables: seconds each."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture(scope="session")
def postgres_version() -> int:
    """PostgreSQL 18, or what TIDINGS_TEST_PG says."""
    return int(os.environ.get("TIDINGS_TEST_PG", "18"))


@pytest.fixture(scope="session")
def cluster(postgres_version: int) -> Iterator[str]:
    """DSN of the run's server, with the migrated template made by whichever worker came first."""
    # pytest-xdist gives all workers of a run the same number.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    folder = for_clusters() / f"tidings-test-{run}"
    _remove_abandoned(folder.parent)
    sharing = shared_postgres(folder, postgres_version, ephemeral=True, extra_settings=_FAST)
    with sharing as dsn:
        asyncio.run(_ensure_template(dsn))
        yield dsn


def _remove_abandoned(parent: Path) -> None:
    """Runs that were killed leave a server; whoever comes later and leaves in order ends it."""
    for home in parent.glob("tidings-test-*/ephemeral/postgres-*"):
        if home.stat().st_mtime < time.time() - _ABANDONED_AFTER_S:
            with shared_postgres(home.parents[1], int(home.name[-2:]), ephemeral=True):
                pass


async def _ensure_template(dsn: str) -> None:
    admin = await asyncpg.connect(dsn, database="postgres")
    try:
        await admin.execute("select pg_advisory_lock($1)", _CLONE_LOCK)
        if not await admin.fetchval("select 1 from pg_database where datname = $1", _TEMPLATE):
            draft = f"{_TEMPLATE}_draft"
            await admin.execute(f"drop database if exists {draft}")
            await admin.execute(f"create database {draft}")
            conn = await asyncpg.connect(dsn, database=draft)
            try:
                await migrate(conn)
            finally:
                await conn.close()
            await admin.execute(f"alter database {draft} rename to {_TEMPLATE}")
    finally:
        await admin.close()


@pytest.fixture
async def database_url(cluster: str) -> AsyncIterator[str]:
    """DSN of a database of this test's own, migrated and empty."""
    name = f"test_{os.getpid()}_{next(_clone_numbers)}"
    admin = await asyncpg.connect(cluster, database="postgres")
    try:
        await admin.execute(f"create database {name} template {_TEMPLATE} strategy file_copy")
        yield cluster.replace("/tidings?", f"/{name}?")
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings that point at the test's own database and read nothing from outside."""
    return Settings(
        database=DatabaseSettings(url=SecretStr(database_url), pool_max=5),
        embedded=EmbeddedSettings(dir=tmp_path / "embedded"),
        secret=SecretStr("a secret for tests, which is long enough"),
    )


@pytest.fixture
async def pool(database_url: str, settings: Settings) -> AsyncIterator[Pool]:
    """A pool on the test's own database."""
    pool = await open_pool(database_url, settings.database)
    yield pool
    await pool.close()


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    """One connection of the pool."""
    async with pool.acquire() as conn:
        yield conn
