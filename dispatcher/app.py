"""The one place that builds things: settings → database, channels, context; and runs web and worker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from socket import socket
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from aiohttp.client_middlewares import ClientMiddlewareType

from channels.model import ChannelKind
from channels.registry import build_channels
from channels.social_length import weighted_length
from dispatcher.clock import Clock, DatabaseClock, machine_wall, wrong_wall
from dispatcher.clocks.canary import between_turns, send_canary
from dispatcher.clocks.heartbeat import beat, leave
from dispatcher.clocks.maintenance import maintain
from dispatcher.clocks.reconcile import reconcile
from dispatcher.clocks.release import release_due
from dispatcher.clocks.sweep import sweep
from dispatcher.clocks.timekeeping import keep_time
from dispatcher.clocks.webhooks import wake_webhooks
from dispatcher.config import Settings, SettingsError, signing_secret
from dispatcher.context import Context
from dispatcher.db import Connection, Pool, in_transaction, migrate, open_pool, open_session
from dispatcher.embedded import embedded_postgres
from dispatcher.failpoints import FailpointError, arm
from dispatcher.ids import Signer
from dispatcher.jobs import Consumer, Handler, Links, Pace, consume, tick
from dispatcher.metrics import timed_requests
from dispatcher.pipeline import CONSUMERS, PIPELINE, URGENT_PRIORITY, Wire
from dispatcher.rules.policy import load_policy
from dispatcher.senders import PROVIDERS, sync_senders
from dispatcher.watch import Watch, between_looks
from dispatcher.web import has_admin, keep_worker_metrics, make_runner, own_checks
from segments.rules import SHIPPED_RULES, load_rules
from segments.store import ensure_segments
from templates.render import check_templates

log = structlog.get_logger(__name__)

CONNECTIONS_PER_PROVIDER = 200
MAINTAIN_EVERY_S = 60.0
RELEASE_EVERY_S = 1.0
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
    check_templates()
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
        await _end(following)


async def _follow(pool: Pool, clock: DatabaseClock, every_s: float) -> None:
    await clock.sleep(every_s)
    await tick(partial(keep_time, pool, clock), every_s=every_s, stop=asyncio.Event())


async def serve(ctx: Context, stop: asyncio.Event, held: socket | None = None) -> None:
    """Answer HTTP until `stop`, on a socket that is `held` already or on the configured port.

    Raises OSError when the port is taken.
    """
    runner = make_runner(ctx)
    await runner.setup()
    try:
        at = ctx.settings.web
        site = web.SockSite(runner, held) if held else web.TCPSite(runner, at.host, at.port)
        await site.start()
        log.info("web_listening", host=at.host, port=at.port)
        await _tell_how_to_begin(ctx)
        watch = Watch(ctx, partial(own_checks, runner.app))
        await tick(watch.turn, every_s=between_looks(ctx.settings), stop=stop)
    finally:
        await runner.cleanup()


async def _tell_how_to_begin(ctx: Context) -> None:
    """How to make the first admin, as long as there is none. The link itself is no matter for a log."""
    async with ctx.pool.acquire() as conn:
        if not await has_admin(conn):
            log.warning("no_admin_yet", run="tidings users create EMAIL --role admin")


async def work(ctx: Context, stop: asyncio.Event) -> None:
    """Run consumers and clocks until `stop`, then drain: nothing new is begun, what is in flight ends.

    Raises whatever ended one of them before that: half a worker would look alive and do half the work.
    """
    worker = uuid.uuid4()
    async with ctx.pool.acquire() as conn:
        await sync_senders(conn, ctx, now=ctx.now(), decide=True)
    moved = await in_transaction(ctx.pool, partial(_follow_rules, ctx), rng=ctx.rng)
    if moved:
        log.info("accounts_moved", count=moved)
    # The heart beats while the worker drains: what is still in flight keeps its lease.
    drained, links = asyncio.Event(), Links()
    loops = _loops(ctx, links, stop)
    heart = asyncio.create_task(
        tick(
            partial(beat, ctx, worker, links), every_s=ctx.settings.worker.heartbeat_s, stop=drained
        )
    )
    # What counts the length of a post takes its time to import; nobody's first message waits for it.
    counting = asyncio.create_task(asyncio.to_thread(weighted_length, ""))
    log.info("worker_started", worker=str(worker))
    tasks = [asyncio.create_task(item) for item in loops]
    try:
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in tasks:
            if task.done() and not stop.is_set():
                task.result()
                raise RuntimeError(f"{task.get_name()} ended by itself; please report this")
        await _drain(ctx, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await _end(*tasks)
        drained.set()
        await _end(heart, counting)
        await _end(asyncio.create_task(leave(ctx, worker)))
        log.info("worker_stopped", worker=str(worker))


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks, but not for long: a dead link may hold them up, and they end with the pool."""
    done, pending = await asyncio.wait(tasks, timeout=END_WITHIN_S)
    for task in pending:
        task.cancel()
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("ended_with", task=task.get_name(), error=type(error).__name__)


async def _follow_rules(ctx: Context, conn: Connection) -> int:
    return await ensure_segments(conn, ctx.segment_rules, now=ctx.now())


async def _drain(ctx: Context, tasks: list[asyncio.Task[None]]) -> None:
    _, pending = await asyncio.wait(tasks, timeout=ctx.settings.worker.drain_s)
    if pending:
        log.warning("drain_timed_out", loops=len(pending), in_flight=len(ctx.leases))


def _loops(ctx: Context, links: Links, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    rhythm = ctx.settings.worker
    pace = Pace(heartbeat_s=rhythm.heartbeat_s, dequeue_timeout_s=rhythm.dequeue_timeout_s)

    async def connect() -> Connection:
        # PgQueuer speaks JSON text and wants a connection of its own to listen on.
        return await open_session(ctx.dsn, ctx.settings.database, application_name="tidings-queue")

    consumers = _consumers(ctx)
    links.consumers = len(consumers)
    clocks = (
        (release_due, RELEASE_EVERY_S),
        (wake_webhooks, RELEASE_EVERY_S),
        (sweep, rhythm.sweep_every_s),
        (reconcile, rhythm.sweep_every_s),
        (maintain, MAINTAIN_EVERY_S),
    )
    return [
        *(consume(connect, item, pace=pace, links=links, stop=stop) for item in consumers),
        *(tick(partial(turn, ctx), every_s=every, stop=stop) for turn, every in clocks),
        tick(
            partial(send_canary, ctx),
            every_s=between_turns(ctx.settings.canary.every_s),
            stop=stop,
        ),
        tick(Watch(ctx).turn, every_s=between_looks(ctx.settings), stop=stop),
        keep_worker_metrics(ctx, stop),
    ]


def _consumers(ctx: Context) -> list[Consumer]:
    def handler(wire: Wire) -> Handler:
        async def run(key: int, priority: int) -> None:
            if priority >= URGENT_PRIORITY:
                with ctx.precedence.taken():
                    await wire.stage(ctx, key)
            else:
                await ctx.precedence.give_way()
                await wire.stage(ctx, key)

        return run

    return [
        Consumer(
            name=name,
            handlers={wire.event: handler(wire) for wire in PIPELINE if wire.consumer == name},
            batch=batch,
            concurrency=slots,
        )
        for name, (batch, slots) in CONSUMERS.items()
        if (kind := name.removeprefix("urgent.")) not in set(ChannelKind)
        or ChannelKind(kind) in ctx.channels
    ]
