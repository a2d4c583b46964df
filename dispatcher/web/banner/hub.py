"""One listener per process: learns of banner events and tells every open stream what it must send.

NOTIFY is the fast way; a look at the table every two seconds is the sure one. Both may say the same
thing twice, which costs a little and harms nothing.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog
from aiohttp import web

from dispatcher.context import Context
from dispatcher.db import AWAY, Connection, open_session
from dispatcher.metrics import BANNER_STREAMS
from dispatcher.web import sse
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.banner.items import RESOLVED_STAYS, Item, Viewer, items_for
from dispatcher.web.banner.subscriber import Change, Subscriber
from dispatcher.web.ids import INCIDENT

log = structlog.get_logger(__name__)

CHANNEL: Final = "tidings_banner"
POLL_S: Final = 2.0
MAX_STREAMS: Final = 10_000
MAX_STREAMS_PER_USER: Final = 10
# Numbers are given out before commits: an event may become visible after a later one.
OVERLAP: Final = 100
# Told in one go; what they are told leaves before the next ones are.
_TOLD_AT_ONCE: Final = 250
_REPLAY_LIMIT: Final = 500
_RECONNECT_S: Final = 0.2
_RECONNECT_CAP_S: Final = 15.0
_POOL_WAIT_S: Final = 5.0

EVENTS_SQL = "select id, incident_id from banner_event where id > $1 order by id limit $2"
LAST_EVENT_SQL = "select coalesce(max(id), 0) from banner_event"
# Also what has stopped showing by itself since: removing it twice does no harm.
ENDED_SQL = """
select id from incident where resolved_at <= $1 and resolved_at > $2 order by id desc limit 200
"""


class Hub:
    """Knows the open streams of this process and keeps them up to date."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._subscribers: set[Subscriber] = set()
        self._streams_of: Counter[tuple[str, str]] = Counter()
        self._seen: set[int] = set()
        self._last_id = 0
        self._wake = asyncio.Event()
        self._pause_s = _RECONNECT_S
        self._closed = False
        self.listening = False  # whether notifications would arrive now

    @asynccontextmanager
    async def subscription(
        self, viewer: Viewer, user: tuple[str, str]
    ) -> AsyncIterator[Subscriber]:
        """A place among the streams. Raises WebRefusedError (429) when there are too many."""
        mine = self._streams_of[user]
        if len(self._subscribers) >= MAX_STREAMS or mine >= MAX_STREAMS_PER_USER:
            raise WebRefusedError("too-many-streams", headers={"Retry-After": "60"})
        subscriber = Subscriber(viewer, user)
        self._subscribers.add(subscriber)
        self._streams_of[user] = mine + 1
        BANNER_STREAMS.inc()
        if self._closed:
            subscriber.end()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            self._streams_of[user] -= 1
            if not self._streams_of[user]:
                del self._streams_of[user]
            BANNER_STREAMS.dec()

    async def snapshot(self, subscriber: Subscriber) -> tuple[int, list[Item]]:
        """Everything the viewer sees now, and the stream id it stands for."""
        ctx = self._ctx
        async with ctx.pool.acquire(timeout=_POOL_WAIT_S) as conn:
            # The id is read first: what commits in between is sent twice rather than never.
            event_id = await conn.fetchval(LAST_EVENT_SQL)
            found = await items_for(conn, ctx, [subscriber.viewer], now=ctx.now())
        subscriber.shown = found[subscriber.viewer]
        return event_id, list(subscriber.shown.values())

    async def replay(self, subscriber: Subscriber, after: int) -> list[Change] | None:
        """What changed since the stream id `after`; None when a snapshot is the better answer."""
        ctx, now = self._ctx, self._ctx.now()
        async with ctx.pool.acquire(timeout=_POOL_WAIT_S) as conn:
            last = await conn.fetchval(LAST_EVENT_SQL)
            events = await conn.fetch(EVENTS_SQL, max(0, after - OVERLAP), _REPLAY_LIMIT)
            if after > last or len(events) == _REPLAY_LIMIT:
                return None
            over = now - RESOLVED_STAYS
            ended = await conn.fetch(ENDED_SQL, over, over - timedelta(hours=1))
            found = await items_for(conn, ctx, [subscriber.viewer], now=now)
        subscriber.shown = items = found[subscriber.viewer]
        touched = {row["incident_id"] for row in events} | {row["id"] for row in ended}
        return [
            self._change(last, incident_id, items.get(incident_id))
            for incident_id in sorted(touched)
        ]

    async def run(self) -> None:
        """Listen until cancelled; reconnects with jitter, never gives up."""
        while True:
            try:
                await self._listen()
            except AWAY as error:
                log.warning("banner.listener_lost", error=type(error).__name__)
            await asyncio.sleep(self._pause_s * self._ctx.rng.uniform(0.5, 1.5))
            self._pause_s = min(self._pause_s * 2, _RECONNECT_CAP_S)

    async def _listen(self) -> None:
        conn = await open_session(
            self._ctx.dsn, self._ctx.settings.database, application_name="tidings-banner"
        )
        try:
            await conn.add_listener(CHANNEL, lambda *_: self._wake.set())
            if not self._last_id:
                self._last_id = await conn.fetchval(LAST_EVENT_SQL)
            self._pause_s = _RECONNECT_S
            self.listening = True
            while True:
                self._wake.clear()
                await self._look(conn)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)
        finally:
            self.listening = False
            with suppress(*AWAY):
                await conn.close(timeout=2)

    async def _look(self, conn: Connection) -> None:
        """What happened since the last look, and what stops showing by itself."""
        after = max(0, self._last_id - OVERLAP)
        rows = await conn.fetch(EVENTS_SQL, after, 10 * OVERLAP)
        fresh = [row for row in rows if row["id"] not in self._seen]
        self._last_id = max([self._last_id, *(row["id"] for row in rows)])
        self._seen = {row["id"] for row in rows if row["id"] > self._last_id - OVERLAP}
        touched = {row["incident_id"] for row in fresh} | self._expired()
        if touched and self._subscribers:
            await self._tell(sorted(touched))

    def _expired(self) -> set[int]:
        now = self._ctx.now()
        return {
            incident_id
            for subscriber in self._subscribers
            for incident_id, item in subscriber.shown.items()
            if item.ends_at is not None and item.ends_at <= now
        }

    async def _tell(self, incidents: Sequence[int]) -> None:
        by_viewer: dict[Viewer, list[Subscriber]] = defaultdict(list)
        for subscriber in self._subscribers:
            by_viewer[subscriber.viewer].append(subscriber)
        async with self._ctx.pool.acquire(timeout=_POOL_WAIT_S) as conn:
            found = await items_for(
                conn, self._ctx, by_viewer, now=self._ctx.now(), incidents=incidents
            )
        # Ten thousand viewers see few different things: each is made and written down once.
        changes: dict[tuple[int, int], Change] = {}
        for number, (viewer, items) in enumerate(found.items(), 1):
            for incident_id in incidents:
                item = items.get(incident_id)
                change = changes.get((incident_id, id(item)))
                if change is None:
                    change = self._change(self._last_id, incident_id, item)
                    changes[(incident_id, id(item))] = change
                for subscriber in by_viewer[viewer]:
                    subscriber.update(change)
            if number % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _change(self, event_id: int, incident_id: int, item: Item | None) -> Change:
        if item is None:
            gone = {"id": self._ctx.signer.public_id(INCIDENT, incident_id)}
            return Change(incident_id, item, sse.event(event_id, "remove", gone))
        told = sse.event(event_id, "upsert", item.model_dump(mode="json"))
        return Change(incident_id, item, told)

    def close(self) -> None:
        """End every stream, so that the process can stop."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end()


HUB: Final = web.AppKey("banner_hub", Hub)


async def keep_hub(app: web.Application) -> AsyncIterator[None]:
    """The hub's life within the application's."""
    listening = asyncio.create_task(app[HUB].run())
    yield
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def end_streams(app: web.Application) -> None:
    """Open streams would keep the process from stopping."""
    app[HUB].close()
