"""One turn of a sender: its waiting slices get their moment, under the lock of its row."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog

from channels.model import ChannelKind
from channels.pacing import (
    BucketState,
    Grant,
    Limit,
    Reservation,
    RetryBudget,
    Turn,
    largest_cost,
    pick,
    reserve,
    steady_spacing,
)
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction, one_row
from dispatcher.failpoints import reach
from dispatcher.jobs import publish
from dispatcher.metrics import RATE_LIMIT_WAIT
from dispatcher.rules.paused import PAUSED
from dispatcher.rules.policy import RETRY_LANE
from dispatcher.rules.punctuality import UNPACED_S, head_start
from dispatcher.rules.states import SliceState
from dispatcher.stages.release.events import URGENT_LANE, released_event
from dispatcher.stages.release.overtaken import overtake
from dispatcher.stages.release.probe import probe
from dispatcher.stages.release.stale import expire, find_stale

log = structlog.get_logger(__name__)

LAST_LANE = 9
URGENT_HORIZON_S = 5.0
HORIZON_S = 1.0
SHORT_HORIZON_S = 0.3
LOOK_AHEAD = 200
# More than this many released and not yet begun means the workers, not the provider, are the limit:
# releasing further would only let reserved moments pass unused.
MAX_UNBEGUN = 40
# Of a P0 fewer, so that a newer P0 stands behind little of an older one; each end of one releases more.
MAX_URGENT_UNBEGUN = 16

# Not "for update": that would wait for every record, whose slices refer to the sender.
LOCK_SENDER_SQL = "select * from sender where id = $1 for no key update"
# Asked once the lock is held: whoever pauses the channel holds it too.
PAUSED_SQL = f"select {PAUSED.format(channel='$1::smallint', now='$2::timestamptz')}"
UNBEGUN_SQL = f"""
select count(*) as unbegun, count(*) filter (where lane = {URGENT_LANE}) as urgent
from slice where state = {SliceState.RELEASED:d} and sender_id = $1
"""
BUCKETS_SQL = "select seconds, next_free, cells, cell_no from bucket where sender_id = $1"
# A newer update's slice waits for older ones of its incident and channel that are on their way.
CANDIDATES_SQL = f"""
select s.id, s.lane, s.units, s.n, s.update_id, s.channel, s.purpose, s.expires_at, s.endpoint_ids,
       s.maybe_duplicate, s.epoch, s.not_before,
       exists (select from incident_update n where n.incident_id = s.incident_id
               and n.id > s.update_id and n.state in ('approved', 'planned')) as overtaken
from slice s join dispatch d on d.id = s.dispatch_id
where s.sender_id = $1 and s.state = {SliceState.WAITING:d} and s.lane between $2 and $3
  and s.not_before <= $4 and d.paused_at is null and d.state <> 'cancelled'
  and not exists (
      select from slice o
      where o.state in ({SliceState.RELEASED:d}, {SliceState.IN_FLIGHT:d})
        and o.incident_id = s.incident_id and o.channel = s.channel and o.update_id < s.update_id)
order by s.lane, s.round, s.update_id desc, s.id
limit $5
"""
RELEASE_SQL = f"""
update slice s set state = {SliceState.RELEASED:d}, start_at = t.start_at, spacing_s = t.spacing_s,
       lease_until = null
from unnest($1::bigint[], $2::timestamptz[], $3::float8[]) as t(id, start_at, spacing_s)
where s.id = t.id and s.id = any($1::bigint[]) and s.state = {SliceState.WAITING:d}
"""
SAVE_BUCKETS_SQL = """
update bucket b set next_free = t.next_free, cell_no = t.cell_no,
       cells = string_to_array(t.cells, ',')::bigint[]
from unnest($2::int[], $3::float8[], $4::bigint[], $5::text[]) as t(seconds, next_free, cell_no, cells)
where b.sender_id = $1 and b.seconds = t.seconds
"""
SAVE_SENDER_SQL = "update sender set floor_credit = $2, retry_free = $3 where id = $1"


@dataclass(slots=True)
class _Plan:
    """What one turn decided, written in one go at its end."""

    credit: int
    retries: RetryBudget
    granted: list[tuple[asyncpg.Record, Grant]] = field(default_factory=list)
    stale: list[asyncpg.Record] = field(default_factory=list)


async def run(ctx: Context, sender_id: int) -> None:
    """Give moments to as many waiting slices of one sender as fit before the horizon.

    Every slice that ends asks for it. Whoever asks while this process is at it is served by one more
    turn: a crowd that waits for the sender's lock would keep a P0 waiting too.
    """
    if sender_id in ctx.releasing:
        ctx.releasing[sender_id] = True
        return
    ctx.releasing[sender_id] = True
    try:
        while ctx.releasing[sender_id]:
            ctx.releasing[sender_id] = False
            if await in_transaction(
                ctx.pool, lambda conn: release(conn, ctx, sender_id), rng=ctx.rng
            ):
                ctx.releasing[sender_id] = True
            await reach("release.after_commit")
    finally:
        del ctx.releasing[sender_id]


async def release(conn: Connection, ctx: Context, sender_id: int) -> bool:
    """One turn under the sender's lock; returns whether another should follow at once."""
    now = ctx.now()
    sender = await conn.fetchrow(LOCK_SENDER_SQL, sender_id)
    if sender is None or (sender["paused_until"] is not None and sender["paused_until"] > now):
        return False
    if await conn.fetchval(PAUSED_SQL, sender["channel"], now):
        # A pause may be long: what grows too old meanwhile is not left to wait for its end.
        stale = await find_stale(conn, sender_id, now)
        await expire(conn, stale, now)
        return bool(stale)
    rows = {row["seconds"]: row for row in await conn.fetch(BUCKETS_SQL, sender_id)}
    limits = [Limit(item["count"], item["seconds"]) for item in sender["limits"]]
    states = [_state(rows[int(limit.seconds)]) for limit in limits]
    share = ctx.policy.backoff.retry_share
    turn = _Plan(sender["floor_credit"], RetryBudget.of(limits, share, sender["retry_free"]))
    retries = turn.retries.allows(now.timestamp())
    first, lower = await _candidates(conn, sender_id, now, retries=retries)
    replaced = await overtake(conn, [*first, *lower], now)
    first, lower = (
        [row for row in lane if row["id"] not in replaced.aside] for lane in (first, lower)
    )
    if sender["trips"]:
        first, lower = await probe(conn, sender, [*first, *lower], now), []
    states = _decide(turn, first, lower, limits, states, now)
    await expire(conn, turn.stale, now)
    await _write(conn, sender_id, turn, limits, states)
    return replaced.has_ended


async def _candidates(
    conn: Connection, sender_id: int, now: datetime, *, retries: bool
) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Slices of the most urgent lane that waits, and of all lanes below it, best first."""
    waiting = await _waiting(conn, sender_id, 0, now, LOOK_AHEAD, retries=retries)
    if not waiting:
        return [], []
    top = waiting[0]["lane"]
    counts = await one_row(conn, UNBEGUN_SQL, sender_id)
    room = max(0, MAX_UNBEGUN - counts["unbegun"])
    first = [row for row in waiting if row["lane"] == top]
    first = first[: max(0, MAX_URGENT_UNBEGUN - counts["urgent"]) if top == URGENT_LANE else room]
    if not first:
        return [], []
    return first, await _waiting(conn, sender_id, top + 1, now, room, retries=retries)


async def _waiting(
    conn: Connection, sender_id: int, lane: int, now: datetime, most: int, *, retries: bool
) -> list[asyncpg.Record]:
    """Slices of this lane and those below; retries that had their share are left out, however many."""
    if retries or lane > RETRY_LANE:
        spans = [(lane, LAST_LANE)]
    else:
        spans = [(lane, RETRY_LANE - 1), (RETRY_LANE + 1, LAST_LANE)]
    found: list[asyncpg.Record] = []
    for top, bottom in spans:
        if top <= bottom and len(found) < most:
            left = most - len(found)
            found += await conn.fetch(CANDIDATES_SQL, sender_id, top, bottom, now, left)
    return found


def _state(row: asyncpg.Record) -> BucketState:
    if not row["cells"]:
        return BucketState()
    return BucketState(row["next_free"], tuple(row["cells"]), row["cell_no"])


def _decide(
    turn: _Plan,
    first: list[asyncpg.Record],
    lower: list[asyncpg.Record],
    limits: list[Limit],
    states: list[BucketState],
    now: datetime,
) -> list[BucketState]:
    """Fill in the turn; returns the windows with what it reserved."""
    queues = {Turn.URGENT: iter(first), Turn.LOWER: iter(lower)}
    heads = {lane: _next_fresh(queue, turn, now) for lane, queue in queues.items()}
    while True:
        choice, credit = pick(turn.credit, _cost(heads[Turn.URGENT]), _cost(heads[Turn.LOWER]))
        row = heads[choice] if choice is not None else None
        if choice is None or row is None:
            return states
        answer = _reserve(row, limits, states, now)
        if isinstance(answer, Grant):
            turn.granted.append((row, answer))
            states, turn.credit = list(answer.states), credit
            if row["lane"] == RETRY_LANE:
                turn.retries = turn.retries.spent(answer.start, _cost(row) or 1)
        elif answer is not None:
            return states
        heads[choice] = _next_fresh(queues[choice], turn, now)


def _reserve(
    row: asyncpg.Record, limits: list[Limit], states: list[BucketState], now: datetime
) -> Reservation | None:
    """A moment for one slice; None when it can never fit the sender's limits (it then expires, visibly)."""
    spread = row["channel"] != ChannelKind.EMAIL.code
    cost = max(1, row["n"] * row["units"])
    if cost > largest_cost(limits, spread=spread):
        log.error("slice_exceeds_limits", slice_id=row["id"], cost=cost)
        return None
    spacing = steady_spacing(limits)
    horizon = URGENT_HORIZON_S if row["lane"] == URGENT_LANE else _horizon(cost, spacing)
    # The job takes a while to reach a worker; every claim so far came to nothing.
    paced = spacing > UNPACED_S
    ready = now + head_start(row["epoch"]) if paced else now
    return reserve(limits, states, ready.timestamp(), cost, horizon, spread=spread)


def _horizon(cost: int, spacing: float) -> float:
    """What is reserved, a P0 must wait for: two slices, or a hundred units, keep a sender busy."""
    return min(HORIZON_S, max(SHORT_HORIZON_S, max(2 * cost, 100) * spacing))


def _next_fresh(queue: Any, turn: _Plan, now: datetime) -> asyncpg.Record | None:
    """The next slice whose promise still holds; those gone stale are put aside."""
    for row in queue:
        if row["expires_at"] <= now:
            turn.stale.append(row)
        elif row["lane"] != RETRY_LANE or turn.retries.allows(now.timestamp()):
            found: asyncpg.Record = row
            return found
    return None


def _cost(row: asyncpg.Record | None) -> int | None:
    return None if row is None else max(1, row["n"] * row["units"])


async def _write(
    conn: Connection,
    sender_id: int,
    turn: _Plan,
    limits: list[Limit],
    states: list[BucketState],
) -> None:
    if not turn.granted:
        return
    await conn.execute(
        RELEASE_SQL,
        [row["id"] for row, _ in turn.granted],
        [_moment(grant) for _, grant in turn.granted],
        [_seconds_per_unit(row, grant) * row["units"] for row, grant in turn.granted],
    )
    await conn.execute(
        SAVE_BUCKETS_SQL,
        sender_id,
        [int(limit.seconds) for limit in limits],
        [state.next_free for state in states],
        [state.cell_no for state in states],
        [",".join(map(str, state.cells)) for state in states],
    )
    await conn.execute(SAVE_SENDER_SQL, sender_id, turn.credit, turn.retries.free)
    for row, grant in turn.granted:
        waited = grant.start - row["not_before"].timestamp()
        RATE_LIMIT_WAIT.labels(ChannelKind.from_code(row["channel"])).observe(waited)
    await publish(
        conn,
        [
            released_event(row["channel"], row["lane"], row["id"], _moment(grant))
            for row, grant in turn.granted
        ],
    )


def _seconds_per_unit(row: asyncpg.Record, grant: Grant) -> float:
    """Of the sender's steady flow; also where all units leave at once and the next ones must wait."""
    return (max(state.next_free for state in grant.states) - grant.start) / (_cost(row) or 1)


def _moment(grant: Grant) -> datetime:
    return datetime.fromtimestamp(grant.start, UTC)
