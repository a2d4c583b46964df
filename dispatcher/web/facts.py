"""What the database knows about the installation as a whole: read for metrics, readiness and `doctor`.

Only partial indexes and small tables are looked at, never deliveries nor slices that are done; a
look is kept for a while, longer the longer it took, so that however many scrape, the database is busy
with it for a hundredth of the time at most.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg
from aiohttp import web

from channels.model import ChannelKind
from channels.pacing import BucketState, Limit, units_left
from dispatcher.clock import Clock
from dispatcher.db import Connection, Pool, one_row
from dispatcher.rules.states import SliceState
from dispatcher.stages.track import MAX_TRIES
from dispatcher.web.boundary import is_database_trouble

WORKER_SILENCE_S: Final = 30.0
FRESH_S: Final = 5.0
_COST_SHARE: Final = 0.01
_POOL_WAIT_S: Final = 2.0
_STUCK_LIMIT: Final = 1000

# Heartbeats, like leases, are told by the database's clock.
WORKERS_SQL: Final = """
select count(*) from worker where seen_at > clock_timestamp() - make_interval(secs => $1)
"""
LIMITS_SQL: Final = "set local statement_timeout = '5s'"
# What is due is what has no reason to wait but the limits of its sender; a person may hold up a dispatch.
QUEUES_SQL: Final = f"""
with moving as (
    select channel, state, n, not_before, dispatch_id from slice where state = {SliceState.WAITING:d}
    union all
    select channel, state, n, not_before, dispatch_id from slice where state in (1, 2, 3)
)
select m.channel, m.state, count(*) as slices, sum(m.n)::bigint as deliveries,
       min(m.not_before) filter (where m.not_before <= $1 and d.paused_at is null
                                 and d.state <> 'cancelled') as oldest
from moving m join dispatch d on d.id = m.dispatch_id group by 1, 2
"""
SMALL_SQL: Final = f"""
select (select min(created_at) from dispatch where state = 'planning' and paused_at is null) as planning,
       (select received_at from receipt_batch where tries < {MAX_TRIES} order by id limit 1) as unread,
       (select count(*) from (select from receipt_batch where tries >= {MAX_TRIES}
                              limit {_STUCK_LIMIT}) t) as stuck
"""
SENDERS_SQL: Final = """
select s.channel, s.limits, s.paused_until, s.paused_why, b.seconds, b.next_free, b.cells, b.cell_no
from sender s left join bucket b on b.sender_id = s.id where s.configured
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """What of one channel has not left: deliveries, and how long the first of those due has waited."""

    deliveries: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One look. Ages are seconds, zero where nothing waits; a channel without a sender is not in `tokens`.

    `tokens`: what the tightest window of the channel's senders has left. `paused`: why, by channel.
    """

    workers: int
    queues: Mapping[ChannelKind, Queue]
    slices: Mapping[SliceState, int]
    planning_s: float
    unread_s: float
    stuck: int
    tokens: Mapping[ChannelKind, int]
    paused: Mapping[ChannelKind, str]

    @property
    def oldest_s(self) -> float:
        """Of all channels, the longest that anything due has waited."""
        return max((queue.oldest_s for queue in self.queues.values()), default=0.0)


async def look(conn: Connection, *, now: datetime) -> Facts:
    """Ask the database. Raises what asyncpg raises, also when it takes longer than five seconds."""
    async with conn.transaction(readonly=True):
        await conn.execute(LIMITS_SQL)
        moving = await conn.fetch(QUEUES_SQL, now)
        small = await one_row(conn, SMALL_SQL)
        workers = await conn.fetchval(WORKERS_SQL, WORKER_SILENCE_S)
        senders = await conn.fetch(SENDERS_SQL)
    tokens, paused = _senders(senders, now)
    slices = dict.fromkeys(_MOVING, 0)
    for row in moving:
        slices[SliceState(row["state"])] += row["slices"]
    return Facts(
        workers=workers,
        queues=_queues(moving, now),
        slices=slices,
        planning_s=_age(small["planning"], now),
        unread_s=_age(small["unread"], now),
        stuck=small["stuck"],
        tokens=tokens,
        paused=paused,
    )


_MOVING: Final = (
    SliceState.WAITING,
    SliceState.RELEASED,
    SliceState.IN_FLIGHT,
    SliceState.AMBIGUOUS,
)
_QUEUED: Final = frozenset({SliceState.WAITING, SliceState.RELEASED})


def _queues(moving: list[asyncpg.Record], now: datetime) -> dict[ChannelKind, Queue]:
    queues: dict[ChannelKind, Queue] = {
        kind: Queue() for kind in ChannelKind if kind is not ChannelKind.BANNER
    }
    for row in moving:
        kind = ChannelKind.from_code(row["channel"])
        if row["state"] in _QUEUED and kind in queues:
            before = queues[kind]
            queues[kind] = Queue(
                before.deliveries + row["deliveries"],
                max(before.oldest_s, _age(row["oldest"], now)),
            )
    return queues


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _senders(
    rows: list[asyncpg.Record], now: datetime
) -> tuple[dict[ChannelKind, int], dict[ChannelKind, str]]:
    tokens: dict[ChannelKind, int] = {}
    paused: dict[ChannelKind, str] = {}
    for row in rows:
        kind = ChannelKind.from_code(row["channel"])
        if row["paused_until"] is not None and row["paused_until"] > now:
            paused[kind] = row["paused_why"]
        for item in row["limits"]:
            if item["seconds"] == row["seconds"]:
                cells = tuple(row["cells"]) or BucketState().cells
                state = BucketState(row["next_free"], cells, row["cell_no"])
                left = units_left(Limit(item["count"], item["seconds"]), state, now.timestamp())
                tokens[kind] = min(left, tokens.get(kind, left))
    return tokens, paused


@dataclass(slots=True)
class Lookout:
    """Shares one look among all who ask; `None` while the database cannot be asked."""

    pool: Pool
    clock: Clock
    _facts: Facts | None = None
    _until: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def facts(self) -> Facts | None:
        """The last look, or a new one when that is no longer fresh."""
        async with self._turn:
            if self.clock.monotonic() >= self._until:
                began = self.clock.monotonic()
                self._facts = await self._ask()
                spent = self.clock.monotonic() - began
                self._until = began + max(FRESH_S, spent / _COST_SHARE)
        return self._facts

    async def _ask(self) -> Facts | None:
        try:
            async with self.pool.acquire(timeout=_POOL_WAIT_S) as conn:
                return await look(conn, now=self.clock.now())
        except asyncpg.UndefinedTableError:
            return None
        except Exception as error:
            if not is_database_trouble(error):
                raise
            return None


LOOKOUT: Final = web.AppKey("lookout", Lookout)
