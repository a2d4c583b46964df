"""What web and a worker do from their start to their end."""

import asyncio
import uuid
from collections.abc import Coroutine
from functools import partial
from socket import socket
from typing import Any

import structlog
from aiohttp import web

from channels.model import ChannelKind
from channels.social_length import weighted_length
from dispatcher.app.opening import end
from dispatcher.clocks.canary import between_turns, send_canary
from dispatcher.clocks.heartbeat import beat, leave
from dispatcher.clocks.maintenance import maintain
from dispatcher.clocks.reconcile import reconcile
from dispatcher.clocks.release import release_due
from dispatcher.clocks.sweep import sweep
from dispatcher.clocks.webhooks import wake_webhooks
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction, open_session
from dispatcher.jobs import Consumer, Handler, Links, Pace, consume, tick
from dispatcher.pipeline import CONSUMERS, PIPELINE, URGENT_PRIORITY, Wire
from dispatcher.senders import sync_senders
from dispatcher.watch import Watch, between_looks
from dispatcher.web.app import make_runner
from dispatcher.web.health import own_checks
from dispatcher.web.metrics import keep_worker_metrics
from dispatcher.web.people.store import has_admin
from segments.store import ensure_segments
from templates.render import check_templates

log = structlog.get_logger(__name__)

MAINTAIN_EVERY_S = 60.0
RELEASE_EVERY_S = 1.0


async def serve(ctx: Context, stop: asyncio.Event, held: socket | None = None) -> None:
    """Answer HTTP until `stop`, on a socket that is `held` already or on the configured port.

    Raises OSError when the port is taken.
    """
    _prepare(ctx)
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


def _prepare(ctx: Context) -> None:
    """What a command can do without: words that are known to be whole, and adapters before they are needed.

    Raises TemplateError.
    """
    check_templates()
    for kind in ctx.channels:
        log.debug("channel_ready", channel=kind, provider=ctx.channels[kind].provider)


async def _tell_how_to_begin(ctx: Context) -> None:
    """How to make the first admin, as long as there is none. The link itself is no matter for a log."""
    async with ctx.pool.acquire() as conn:
        if not await has_admin(conn):
            log.warning("no_admin_yet", run="tidings users create EMAIL --role admin")


async def work(ctx: Context, stop: asyncio.Event) -> None:
    """Run consumers and clocks until `stop`, then drain: nothing new is begun, what is in flight ends.

    Raises whatever ended one of them before that: half a worker would look alive and do half the work.
    """
    _prepare(ctx)
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
        await end(*tasks)
        drained.set()
        await end(heart, counting)
        await end(asyncio.create_task(leave(ctx, worker)))
        log.info("worker_stopped", worker=str(worker))


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
