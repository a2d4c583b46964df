"""Sharing one server between processes: the first in starts it, the last out stops it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import asyncpg

from dispatcher.embedded.account import server_account
from dispatcher.embedded.binaries import find_binaries
from dispatcher.embedded.folder import Folder
from dispatcher.embedded.server import SUPERUSER, Server

DATABASE: Final = "tidings"
DATABASE_EXISTS_SQL: Final = "select exists (select from pg_database where datname = $1)"

T = TypeVar("T")


@asynccontextmanager
async def embedded_postgres(
    dir: Path,  # noqa: A002 - the name of the setting
    version: int = 18,
    *,
    ephemeral: bool = False,
    extra_settings: Mapping[str, str] | None = None,
) -> AsyncIterator[str]:
    """Share the server of folder `dir`; yields the DSN of its database `tidings`.

    Args:
        dir: created when missing, closed to others.
        version: of PostgreSQL, 16 or 18; each has its own data below `dir`.
        ephemeral: begins empty, in a folder of its own below `dir`, which the last one out removes.
        extra_settings: of PostgreSQL; they count for the process that starts the server.

    Raises:
        EmbeddedPostgresError, EmbeddedBusyError, UnusableFolderError: sentences for the operator.
    """
    stack = ExitStack()
    # Both ends wait for other processes, so they run in a thread; neither is given up half-way,
    # or a cancelled start would leave a server behind that nobody stops.
    sharing = shared_postgres(dir, version, ephemeral=ephemeral, extra_settings=extra_settings)
    entering = asyncio.create_task(asyncio.to_thread(stack.enter_context, sharing))
    try:
        dsn = await _uninterrupted(entering)
        await _ensure_database(dsn)
        yield dsn
    finally:
        await _uninterrupted(asyncio.create_task(asyncio.to_thread(stack.close)))


@contextmanager
def shared_postgres(
    dir: Path,  # noqa: A002 - as above
    version: int = 18,
    *,
    ephemeral: bool = False,
    extra_settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The blocking form; yields a DSN whose database `tidings` may not exist yet."""
    folder = Folder(dir=dir.expanduser().resolve(), version=version, ephemeral=ephemeral)
    account = server_account()
    account.require_reach(folder.dir)
    with folder.locked():
        folder.prepare(account)
        socket_dir = folder.socket_dir(account)
        server = Server(
            folder=folder,
            account=account,
            binaries=find_binaries(version, account),
            socket_dir=socket_dir,
            extra=extra_settings or {},
        )
        if ephemeral and folder.living_handles() == 0:
            # What is there was left by processes that were killed.
            server.stop(discard=True)
            folder.clear()
        handle = folder.take_handle()
        try:
            server.ensure_running()
        except BaseException:
            os.close(handle)
            raise
    try:
        where = urlencode({"host": socket_dir}, quote_via=quote)
        yield f"postgresql://{SUPERUSER}@/{DATABASE}?{where}"
    finally:
        with folder.locked():
            os.close(handle)
            if folder.living_handles() == 0:
                server.stop(discard=ephemeral)
                if ephemeral:
                    folder.remove(socket_dir)


async def _uninterrupted(work: asyncio.Task[T]) -> T:
    """The result of `work`, waited for to the end; a cancellation meanwhile is raised after it."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


async def _ensure_database(dsn: str) -> None:
    conn = await asyncpg.connect(dsn, database="postgres")
    try:
        if not await conn.fetchval(DATABASE_EXISTS_SQL, DATABASE):
            # Eight processes may get here at once; one creates it.
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await conn.execute(f"create database {DATABASE}")
    finally:
        await conn.close()
