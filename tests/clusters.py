"""A throw-away PostgreSQL server with a migrated template, and databases cloned from it."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from dispatcher.db import migrate
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


@contextmanager
def cluster_of(run: str, version: int) -> Iterator[str]:
    """DSN of the server of the run named so; whoever comes first makes it and its template."""
    folder = for_clusters() / f"tidings-test-{run}"
    _remove_abandoned(folder.parent)
    sharing = shared_postgres(folder, version, ephemeral=True, extra_settings=_FAST)
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


@asynccontextmanager
async def cloned_from(cluster: str) -> AsyncIterator[str]:
    """DSN of a migrated, empty database of the caller's own; it is dropped at the end."""
    name = f"test_{os.getpid()}_{next(_clone_numbers)}"
    admin = await asyncpg.connect(cluster, database="postgres")
    try:
        await admin.execute(f"create database {name} template {_TEMPLATE} strategy file_copy")
        try:
            yield cluster.replace("/tidings?", f"/{name}?")
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()
