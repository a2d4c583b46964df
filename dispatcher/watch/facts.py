"""What the database knows about the installation as a whole: read for metrics, readiness, log and `doctor`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from channels.model import ChannelKind
from channels.pacing import BucketState, Limit, units_left
from dispatcher.config import Settings
from dispatcher.db import Connection, one_row
from dispatcher.rules.canary import SILENT_AFTER
from dispatcher.rules.states import SliceState
from dispatcher.watch.sql import (
    CANARIES_SQL,
    LIMITS_SQL,
    PAUSES_SQL,
    QUEUES_SQL,
    REFUSED_SQL,
    SENDERS_SQL,
    SILENT_SQL,
    SMALL_SQL,
    STEPS_SQL,
    STUCK_SQL,
    TRANSACTION_SQL,
    UNHEARD_SQL,
    UNLINKED_SQL,
    WEBHOOKS_SQL,
    WORKERS_SQL,
)

STEPS: Final = ("accepted", "composed", "approved", "failed")
"""Where an update may be stuck before its audience is planned: states of an update."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What of one channel has not left: deliveries, and how long the first of those due has waited."""

    deliveries: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stuck:
    """Slices nobody takes further.

    `held`: claimed too often; `idle`: released, never begun; `lost`: in flight, though the lease is long
    over; `doubtful`: unclear beyond their window.
    """

    held: int = 0
    idle: int = 0
    lost: int = 0
    doubtful: int = 0


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a channel's sender is stopped; `until` when it may go on, None once it is on probation."""

    why: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Canary:
    """How long ago the newest canary that arrived had set out, and from when on that is silence."""

    age_s: float
    silent_s: float


@dataclass(frozen=True, slots=True)
class Webhooks:
    """How many endpoints nobody but we disabled, for how long one fails, and how long one has waited."""

    disabled: int
    failing_s: float
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One look. Ages are seconds, zero where nothing waits; a channel without a sender is not in `tokens`.

    `tokens`: what the tightest window of the channel's senders has left. `unlinked`: workers with a
    consumer that lost its link. `steps`: since when the first update of a step is on its way.
    `paused`: channels that a person has paused, and until when, None without an end.
    `refused`: how many events of sources were not taken, by why, where it still goes on. `silent`: how many
    sources have said nothing for longer than they may. `unheard`: channels whose provider took messages and
    has said nothing since, with how long ago.
    """

    at: datetime
    workers: int
    unlinked: int
    queues: Mapping[ChannelKind, Queue]
    slices: Mapping[SliceState, int]
    stuck_slices: Stuck
    steps: Mapping[str, float]
    unread_s: float
    stuck: int
    tokens: Mapping[ChannelKind, int]
    resting: Mapping[ChannelKind, Rest]
    paused: Mapping[ChannelKind, datetime | None]
    unheard: Mapping[ChannelKind, float]
    transaction_s: float
    canaries: Mapping[ChannelKind, Canary]
    refused: Mapping[str, int]
    silent: int
    webhooks: Webhooks

    @property
    def oldest_s(self) -> float:
        """Of all channels, the longest that anything due has waited."""
        return max((queue.oldest_s for queue in self.queues.values()), default=0.0)

    @property
    def planning_s(self) -> float:
        """The longest that an update has been on its way without its audience being planned."""
        return max(self.steps.values(), default=0.0)


async def look(conn: Connection, settings: Settings, *, now: datetime) -> Facts:
    """Ask the database. Raises what asyncpg raises, also when it takes longer than five seconds."""
    limits = settings.watch
    doubt_s = settings.worker.reconcile_window_s + limits.slice_s
    async with conn.transaction(readonly=True):
        await conn.execute(LIMITS_SQL)
        moving = await conn.fetch(QUEUES_SQL, now)
        small = await one_row(conn, SMALL_SQL)
        senders = await conn.fetch(SENDERS_SQL)
        return Facts(
            at=now,
            workers=await conn.fetchval(WORKERS_SQL, limits.worker_s),
            unlinked=await conn.fetchval(UNLINKED_SQL, limits.worker_s),
            queues=_queues(moving, now),
            slices=_slices(moving),
            stuck_slices=Stuck(**await one_row(conn, STUCK_SQL, now, limits.slice_s, doubt_s)),
            steps={row["step"]: _age(row["since"], now) for row in await conn.fetch(STEPS_SQL)},
            unread_s=_age(small["unread"], now),
            stuck=small["stuck"],
            tokens=_tokens(senders, now),
            resting=_resting(senders, now),
            paused={
                ChannelKind.from_code(row["channel"]): row["until"]
                for row in await conn.fetch(PAUSES_SQL, now)
            },
            unheard={
                ChannelKind.from_code(row["channel"]): _age(row["since"], now)
                for row in await conn.fetch(UNHEARD_SQL, now, limits.missing_receipts_s)
            },
            transaction_s=await conn.fetchval(TRANSACTION_SQL),
            canaries={
                ChannelKind.from_code(row["channel"]): Canary(
                    row["age_s"], SILENT_AFTER * row["every_s"]
                )
                for row in await conn.fetch(CANARIES_SQL)
            },
            refused={row["kind"]: row["n"] for row in await conn.fetch(REFUSED_SQL, now)},
            silent=await conn.fetchval(SILENT_SQL, now),
            webhooks=_webhooks(await one_row(conn, WEBHOOKS_SQL), now),
        )


_MOVING: Final = (
    SliceState.WAITING,
    SliceState.RELEASED,
    SliceState.IN_FLIGHT,
    SliceState.AMBIGUOUS,
)
_QUEUED: Final = frozenset({SliceState.WAITING, SliceState.RELEASED})


def _webhooks(row: asyncpg.Record, now: datetime) -> Webhooks:
    return Webhooks(row["disabled"], _age(row["failing"], now), _age(row["due"], now))


def _slices(rows: Sequence[asyncpg.Record]) -> dict[SliceState, int]:
    slices = dict.fromkeys(_MOVING, 0)
    for row in rows:
        slices[SliceState(row["state"])] += row["slices"]
    return slices


def _queues(rows: Sequence[asyncpg.Record], now: datetime) -> dict[ChannelKind, Queue]:
    queues: dict[ChannelKind, Queue] = {
        kind: Queue() for kind in ChannelKind if kind is not ChannelKind.BANNER
    }
    for row in rows:
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


def _tokens(rows: Sequence[asyncpg.Record], now: datetime) -> dict[ChannelKind, int]:
    tokens: dict[ChannelKind, int] = {}
    for row in rows:
        kind = ChannelKind.from_code(row["channel"])
        for item in row["limits"]:
            if item["seconds"] == row["seconds"]:
                cells = tuple(row["cells"]) or BucketState().cells
                state = BucketState(row["next_free"], cells, row["cell_no"])
                left = units_left(Limit(item["count"], item["seconds"]), state, now.timestamp())
                tokens[kind] = min(left, tokens.get(kind, left))
    return tokens


def _resting(rows: Sequence[asyncpg.Record], now: datetime) -> dict[ChannelKind, Rest]:
    resting: dict[ChannelKind, Rest] = {}
    for row in rows:
        until = row["paused_until"]
        if until is not None and until > now:
            resting[ChannelKind.from_code(row["channel"])] = Rest(row["paused_why"], until)
        elif row["trips"]:
            resting[ChannelKind.from_code(row["channel"])] = Rest(row["paused_why"], None)
    return resting
