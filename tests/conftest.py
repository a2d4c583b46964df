"""A real PostgreSQL for every test: one embedded server per run, one migrated clone per test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

from dispatcher.config import DatabaseSettings, EmbeddedSettings, Settings
from dispatcher.db import Connection, Pool, open_pool
from tests.clusters import cloned_from, cluster_of

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
    with cluster_of(run, postgres_version) as dsn:
        yield dsn


@pytest.fixture
async def database_url(cluster: str) -> AsyncIterator[str]:
    """DSN of a database of this test's own, migrated and empty."""
    async with cloned_from(cluster) as dsn:
        yield dsn


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
