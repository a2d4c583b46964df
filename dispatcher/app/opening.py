"""The one place that builds things: settings → database, channels, context."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import structlog
from aiohttp.client_middlewares import ClientMiddlewareType

from channels.model import ChannelKind
from channels.registry import build_channels
from dispatcher.clock import Clock, DatabaseClock, machine_wall, wrong_wall
from dispatcher.clocks.timekeeping import keep_time
from dispatcher.config import Settings, SettingsError, signing_secret
from dispatcher.context import Context
from dispatcher.db import Pool, migrate, open_pool
from dispatcher.embedded import embedded_postgres
from dispatcher.failpoints import FailpointError, arm
from dispatcher.ids import Signer
from dispatcher.jobs import tick
from dispatcher.metrics import timed_requests
from dispatcher.rules.policy import load_policy
from dispatcher.senders import PROVIDERS, sync_senders
from segments.rules import SHIPPED_RULES, load_rules

log = structlog.get_logger(__name__)

CONNECTIONS_PER_PROVIDER = 200
END_WITHIN_S = 5.0


@asynccontextmanager
async def running(
    settings: Settings, clock: Clock | None = None, *, patient: bool = False
) -> AsyncIterator[Context]:
    """Everything a process needs, closed in reverse order at the end.

    Without a configured database the embedded one starts, and is migrated. The time is the database's,
    unless `clock` says otherwise. `patient`: statements may take as long as the server lets them.

    Raises SettingsError, PolicyError, DatabaseUnavailableError or MigrationError, each with a sentence
    for the operator.
    """
    policy = load_policy(settings.policy_file)
    try:
        arm(settings.test.at)
    except FailpointError as error:
        raise SettingsError(str(error)) from None
    async with AsyncExitStack() as stack:
        dsn, folder = await _database(stack, settings)
        pool = await stack.enter_async_context(_pool(dsn, settings, patient=patient))
        if clock is None:
            clock = await stack.enter_async_context(_database_clock(pool, settings))
        middleware = timed_requests(_providers(settings), clock.monotonic)
        direct = settings.database.session_url
        ctx = Context(
            settings=settings,
            dsn=direct.get_secret_value() if direct else dsn,
            pool=pool,
            clock=clock,
            rng=Random(),
            signer=Signer(signing_secret(settings, folder).encode()),
            policy=policy,
            segment_rules=load_rules(settings.segment_rules_file or SHIPPED_RULES),
            channels=build_channels(
                settings.channels,
                open_session=partial(_open_session, stack, middleware),
                public_url=settings.public_url,
            ),
        )
        async with pool.acquire() as conn:
            if settings.database.url is None:
                await migrate(conn)
            await sync_senders(conn, ctx, now=ctx.now())
        yield ctx


def _open_session(stack: AsyncExitStack, middleware: ClientMiddlewareType) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_PER_PROVIDER),
        cookie_jar=aiohttp.DummyCookieJar(),  # no provider has anything to remember of us
        timeout=aiohttp.ClientTimeout(total=60),
        middlewares=[middleware],
    )
    stack.push_async_callback(session.close)
    return session


def _providers(settings: Settings) -> dict[str, str]:
    return {
        settings.sendgrid.base_url: PROVIDERS[ChannelKind.EMAIL],
        settings.twilio.base_url: PROVIDERS[ChannelKind.SMS],
        settings.x.base_url: PROVIDERS[ChannelKind.SOCIAL],
    }


async def _database(stack: AsyncExitStack, settings: Settings) -> tuple[str, Path | None]:
    if settings.database.url is not None:
        return settings.database.url.get_secret_value(), None
    embedded = settings.embedded
    dsn = await stack.enter_async_context(
        embedded_postgres(embedded.dir, embedded.version, ephemeral=embedded.ephemeral)
    )
    return dsn, embedded.dir


@asynccontextmanager
async def _pool(dsn: str, settings: Settings, *, patient: bool) -> AsyncIterator[Pool]:
    pool = await open_pool(dsn, settings.database, patient=patient)
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), 5)
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def _database_clock(pool: Pool, settings: Settings) -> AsyncIterator[Clock]:
    """A clock that follows the database's for as long as this lasts."""
    errors = settings.test.wall_errors
    clock = DatabaseClock(wrong_wall(errors) if errors else machine_wall)
    await keep_time(pool, clock)
    following = asyncio.create_task(_follow(pool, clock, settings.worker.heartbeat_s))
    try:
        yield clock
    finally:
        following.cancel()
        await end(following)


async def _follow(pool: Pool, clock: DatabaseClock, every_s: float) -> None:
    await clock.sleep(every_s)
    await tick(partial(keep_time, pool, clock), every_s=every_s, stop=asyncio.Event())


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks, but not for long: a dead link may hold them up, and they end with the pool."""
    done, pending = await asyncio.wait(tasks, timeout=END_WITHIN_S)
    for task in pending:
        task.cancel()
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("ended_with", task=task.get_name(), error=type(error).__name__)
