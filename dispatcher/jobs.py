"""The wake-up: publish an event, consume events, tick. PgQueuer carries them; our rows are the truth.

A job says only "look at this row". It may vanish or run twice, so every handler begins by claiming
its row, and the sweep publishes again what has no live job.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import asyncpg
import structlog
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager

from dispatcher.db import AWAY, Connection

log = structlog.get_logger(__name__)

Handler = Callable[[int, int], Awaitable[None]]
"""Is given the row's id and the priority of the job."""

FIRST_PAUSE_S = 0.2
RECONNECT_CAP_S = 15.0
# A session that lasted so long was no failed attempt.
HEALTHY_S = 2.0
WAITING_SQL = """
select dedupe_key from pgqueuer
where dedupe_key = any($1::text[]) and status in ('queued', 'picked') and dedupe_key is not null
"""
# The queue's own log is of no use once a job is settled; the sweep trims it to this age.
TRIM_LOG_SQL = """
delete from pgqueuer_log where id in (
    select id from pgqueuer_log where created < clock_timestamp() - interval '15 minutes' limit 5000)
"""
TRIM_HELD_SQL = """
delete from pgqueuer where status = 'failed' and updated < clock_timestamp() - interval '1 minute'
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one row; `key` is the row's id. Higher priority runs first.

    An event is not doubled while one for the same row waits or runs, unless its `turn` differs.
    """

    name: str
    key: int
    priority: int = 0
    turn: str = ""

    @property
    def dedupe_key(self) -> str:
        """What two events share that are the same."""
        return f"{self.name}:{self.key}:{self.turn}"


class _TextHeaders(AsyncpgDriver):
    """Our connections turn objects into jsonb; PgQueuer brings its headers as JSON text already."""

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return await super().fetch(query.replace("$6::jsonb[]", "$6::text[]::jsonb[]"), *args)


async def publish(conn: Connection, events: Sequence[Event]) -> None:
    """Enqueue in the caller's transaction; an event already waiting for the same row is not doubled."""
    if not events:
        return
    # Every insert statement wakes every consumer, even one that inserts nothing.
    keys = [event.dedupe_key for event in events]
    waiting = {row["dedupe_key"] for row in await conn.fetch(WAITING_SQL, keys)}
    events = [event for event, key in zip(events, keys, strict=True) if key not in waiting]
    if not events:
        return
    await Queries(_TextHeaders(_bare(conn))).enqueue(
        [event.name for event in events],
        [str(event.key).encode() for event in events],
        [event.priority for event in events],
        dedupe_key=[event.dedupe_key for event in events],
        on_conflict="skip",
    )


def _bare(conn: Connection) -> "asyncpg.Connection[asyncpg.Record]":
    """A pool's proxy forwards every call; PgQueuer's types ask for the connection itself."""
    return cast("asyncpg.Connection[asyncpg.Record]", conn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A group of handlers with its own connection, so that one hanging provider blocks only itself."""

    name: str
    handlers: Mapping[str, Handler]
    batch: int
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How eagerly consumers look: seconds."""

    heartbeat_s: float
    dequeue_timeout_s: float


@dataclass(slots=True)
class Links:
    """How many consumers a process runs, and which of them have lost their link to the database."""

    consumers: int = 0
    lost: set[str] = field(default_factory=set)


async def consume(
    connect: Callable[[], Awaitable[Connection]],
    consumer: Consumer,
    *,
    pace: Pace,
    links: Links,
    stop: asyncio.Event,
) -> None:
    """Run the consumer's handlers until `stop`; reconnects with jitter, never gives up, never spins."""
    pause, clock = FIRST_PAUSE_S, asyncio.get_running_loop().time
    while not stop.is_set():
        began = clock()
        try:
            conn = await connect()
            links.lost.discard(consumer.name)
            try:
                await _run_manager(conn, consumer, pace=pace, stop=stop)
            finally:
                with suppress(*AWAY):
                    await conn.close(timeout=2)
        # PgQueuer raises errors of its own when its listener is lost; whatever it was, look again.
        except Exception as error:  # noqa: BLE001
            log.warning("queue_lost", consumer=consumer.name, error=type(error).__name__)
        if not stop.is_set():
            links.lost.add(consumer.name)
            # One loss a day is no reason to be slower each day.
            pause = FIRST_PAUSE_S if clock() - began > HEALTHY_S else pause
            # Jitter keeps a fleet from reconnecting in step.
            await _sleep_or_stop(stop, pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, RECONNECT_CAP_S)


async def _run_manager(
    conn: Connection, consumer: Consumer, *, pace: Pace, stop: asyncio.Event
) -> None:
    manager = QueueManager(Queries(AsyncpgDriver(_bare(conn))))
    for name, handler in consumer.handlers.items():
        manager.entrypoint(name, on_failure="hold")(_as_job(name, handler))
    stopper = asyncio.create_task(_shutdown_with(stop, manager))
    try:
        await manager.run(
            dequeue_timeout=timedelta(seconds=pace.dequeue_timeout_s),
            batch_size=consumer.batch,
            max_concurrent_tasks=max(consumer.concurrency, 2 * consumer.batch),
            heartbeat_timeout=timedelta(seconds=2 * pace.heartbeat_s),
            shutdown_on_listener_failure=True,
            log_aggregation_interval=timedelta(0),
        )
    finally:
        stopper.cancel()


def _as_job(name: str, handler: Handler) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        key = int(job.payload or b"0")
        with structlog.contextvars.bound_contextvars(job=name, key=key):
            try:
                await handler(key, job.priority)
            except AWAY as error:
                # Not this job's fault: the sweep publishes its row again, and one line says enough.
                log.warning("job_cut_short", error=type(error).__name__, detail=str(error)[:200])

    return run


async def _shutdown_with(stop: asyncio.Event, manager: QueueManager) -> None:
    await stop.wait()
    manager.shutdown.set()


async def _sleep_or_stop(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def tick(work: Callable[[], Awaitable[None]], *, every_s: float, stop: asyncio.Event) -> None:
    """Call `work` every `every_s` seconds until `stop`; a failing turn is logged and the next one comes."""
    while not stop.is_set():
        try:
            await work()
        # A clock that stops is worse than one that fails and says so: the next turn may do better.
        except Exception as error:
            if isinstance(error, AWAY):
                log.warning("tick_failed", error=type(error).__name__, detail=str(error)[:200])
            else:
                log.exception("tick_failed")
        await _sleep_or_stop(stop, every_s * random.uniform(0.9, 1.1))


async def trim(conn: Connection) -> None:
    """Keep the queue's tables small; held jobs go too, since the sweep publishes their rows again."""
    await conn.execute(TRIM_LOG_SQL)
    await conn.execute(TRIM_HELD_SQL)
