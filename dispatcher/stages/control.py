"""Cancel, pause and resume one dispatch. Each locks the dispatch row that every intent looks at."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from channels.model import ChannelKind
from dispatcher import tally
from dispatcher.announce import dispatch_ended
from dispatcher.db import Connection
from dispatcher.jobs import Event, publish
from dispatcher.rules.problem import conflict, not_found
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import STATUS_COUNT, DeliveryState, Shown, SliceState, shown

# Not "for update": that would wait for every record, whose slices refer to the dispatch.
LOCK_SQL = "select * from dispatch where id = $1 for no key update"
WAITING_SQL = f"""
select id, state from slice where dispatch_id = $1
  and state in ({SliceState.WAITING:d}, {SliceState.RELEASED:d}, {SliceState.HELD:d})
order by id for update
"""
WITHDRAW_SQL = f"""
with s as materialized (
    select id, update_id, channel, purpose, endpoint_ids, maybe_duplicate
    from slice where id = any($1::bigint[])
), k as materialized (
    select s.id, s.update_id, s.channel, s.purpose, s.maybe_duplicate, e.endpoint_id
    from s, unnest(s.endpoint_ids) as e(endpoint_id)
), o as materialized (
    select d.endpoint_id, d.channel, d.purpose, d.slice_id, d.attempt, d.evidence, k.maybe_duplicate
    from k join delivery d on d.update_id = (select update_id from dispatch where id = $2)
                          and d.update_id = k.update_id and d.channel = k.channel
                          and d.endpoint_id = k.endpoint_id and d.purpose = k.purpose
    where d.slice_id = k.id and d.state = {DeliveryState.PLANNED:d}
    order by d.channel, d.endpoint_id for update of d
), u as (
    update delivery d set done_at = $3,
           state = case when o.maybe_duplicate then {DeliveryState.UNCONFIRMED:d}
                        else {DeliveryState.CANCELLED:d} end,
           reason = case when o.maybe_duplicate then {Decision.NO_PROOF:d}
                         else {Decision.CANCELLED_BY_PERSON:d} end
    from o where d.update_id = (select update_id from dispatch where id = $2)
             and d.channel = o.channel and d.endpoint_id = o.endpoint_id
             and d.purpose = o.purpose
)
select slice_id, maybe_duplicate, attempt, evidence, count(*) as n from o group by 1, 2, 3, 4
"""
END_SLICES_SQL = f"""
update slice set state = {SliceState.DONE:d}, ended_at = $2, epoch = epoch + 1, detail = 'cancelled'
where id = any($1::bigint[])
"""
CANCEL_SQL = "update dispatch set state = 'cancelled', completed_at = $2 where id = $1"
PAUSE_SQL = "update dispatch set paused_at = coalesce(paused_at, $2) where id = $1"
RESUME_SQL = "update dispatch set paused_at = null where id = $1"
FREE_HELD_SQL = f"""
update slice set state = {SliceState.WAITING:d}, reclaims = 0, ended_at = null, detail = ''
where dispatch_id = $1 and state = {SliceState.HELD:d} returning id
"""
# A banner is accepted the moment it is planned; nobody has it until somebody looks.
UNSEEN_BANNERS_SQL = f"""
with o as materialized (
    select d.endpoint_id, d.slice_id, d.attempt, d.evidence, s.state as slice_state
    from slice s cross join unnest(s.endpoint_ids) as e(endpoint_id)
    join delivery d on d.update_id = $2 and d.update_id = s.update_id and d.channel = s.channel
                   and d.endpoint_id = e.endpoint_id and d.purpose = s.purpose
    where s.dispatch_id = $1 and s.channel = {ChannelKind.BANNER.code} and d.slice_id = s.id
      and d.state = {DeliveryState.ACCEPTED:d} and d.evidence = 0
    order by d.endpoint_id for update of d
), u as (
    update delivery d set state = {DeliveryState.CANCELLED:d}, reason = {Decision.CANCELLED_BY_PERSON:d},
           done_at = $3
    from o where d.update_id = $2 and d.channel = {ChannelKind.BANNER.code}
             and d.endpoint_id = o.endpoint_id and d.slice_id = o.slice_id
)
select slice_id, slice_state, attempt, evidence, count(*) as n from o group by 1, 2, 3, 4
"""
# An update nobody was told of is taken back whole; one that some were told stays on the record.
SETTLE_UPDATE_SQL = """
update incident_update set state = $2, state_detail = 'cancelled by a person' where id = $1
returning incident_id
"""
RESTORE_INCIDENT_SQL = """
update incident i set severity = u.severity, status = u.status, visibility = u.visibility,
       component_ids = u.component_ids,
       resolved_at = case when u.kind = 'resolved' then i.resolved_at end
from (select * from incident_update where incident_id = $1 and state not in ('draft', 'cancelled')
      order by seq desc limit 1) u
where i.id = $1
"""
BANNER_EVENT_SQL = """
with fresh as (
    insert into banner_event (incident_id, update_id, at) values ($1, $2, $3) returning id
)
select pg_notify('tidings_banner', id::text) from fresh
"""
SENDERS_SQL = f"""
select distinct sender_id from slice
where dispatch_id = $1 and state = {SliceState.WAITING:d} and sender_id is not null
"""
COUNTS_SQL = """
select t.i - 1 as status, sum(t.n)::bigint as n
from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
where s.dispatch_id = $1 group by t.i having sum(t.n) <> 0 order by t.i
"""


NEVER_LEFT = frozenset(
    {
        Shown.CANCELLED,
        Shown.SUPERSEDED,
        Shown.SUPPRESSED,
        Shown.UNREACHABLE,
        Shown.EXPIRED,
    }
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact numbers at the moment of the decision: `changed` deliveries now, and all by status word."""

    changed: int
    by_status: Mapping[str, int]


async def cancel(conn: Connection, dispatch_id: int, *, now: datetime) -> Counts:
    """Withdraw what has not left. The caller owns the transaction; intents begun before count as sent.

    Raises RefusedError for an unknown dispatch or one that is over.
    """
    dispatch = await _lock(conn, dispatch_id)
    await conn.execute(CANCEL_SQL, dispatch_id, now)
    changed = await withdraw(conn, dispatch_id, now=now)
    changed += await _take_banners_down(conn, dispatch, now)
    found = await counts(conn, dispatch_id)
    untold = not set(found) - {status.word for status in NEVER_LEFT}
    await _settle_update(conn, dispatch, now, untold=untold)
    await dispatch_ended(conn, dispatch_id, now=now)
    return Counts(changed, found)


async def _take_banners_down(conn: Connection, dispatch: asyncpg.Record, now: datetime) -> int:
    moves: dict[int, Counter[int]] = {}
    changed = 0
    for group in await conn.fetch(UNSEEN_BANNERS_SQL, dispatch["id"], dispatch["update_id"], now):
        place, attempt, evidence = (
            SliceState(group["slice_state"]),
            group["attempt"],
            group["evidence"],
        )
        change = moves.setdefault(group["slice_id"], Counter())
        change[shown(DeliveryState.ACCEPTED, place, attempt, evidence)] -= group["n"]
        change[shown(DeliveryState.CANCELLED, place, attempt, evidence)] += group["n"]
        changed += group["n"]
    await tally.add(conn, moves, STATUS_COUNT)
    return changed


async def _settle_update(
    conn: Connection, dispatch: asyncpg.Record, now: datetime, *, untold: bool
) -> None:
    update = dispatch["update_id"]
    state = "cancelled" if untold else "planned"
    incident = await conn.fetchval(SETTLE_UPDATE_SQL, update, state)
    if untold:
        await conn.execute(RESTORE_INCIDENT_SQL, incident)
    await conn.execute(BANNER_EVENT_SQL, incident, update, now)


async def withdraw(conn: Connection, dispatch_id: int, *, now: datetime) -> int:
    """Cancel every delivery of a dispatch that waits; also what came back from a flight since.

    What waits to be resent may have left the first time: that stays unconfirmed.
    """
    waiting = await conn.fetch(WAITING_SQL, dispatch_id)
    states = {row["id"]: SliceState(row["state"]) for row in waiting}
    moves: dict[int, Counter[int]] = {}
    changed = 0
    for group in await conn.fetch(WITHDRAW_SQL, list(states), dispatch_id, now):
        slice_id, attempt, evidence = group["slice_id"], group["attempt"], group["evidence"]
        change = moves.setdefault(slice_id, Counter())
        ended = DeliveryState.UNCONFIRMED if group["maybe_duplicate"] else DeliveryState.CANCELLED
        change[shown(DeliveryState.PLANNED, states[slice_id], attempt, evidence)] -= group["n"]
        change[shown(ended, SliceState.DONE, attempt, evidence)] += group["n"]
        changed += group["n"]
    await conn.execute(END_SLICES_SQL, list(states), now)
    await tally.add(conn, moves, STATUS_COUNT)
    return changed


async def pause(conn: Connection, dispatch_id: int, *, now: datetime) -> Counts:
    """Hold what has not left until `resume`. Raises RefusedError as `cancel` does."""
    await _lock(conn, dispatch_id)
    await conn.execute(PAUSE_SQL, dispatch_id, now)
    held = await counts(conn, dispatch_id)
    waiting = held.get(Shown.QUEUED.word, 0) + held.get(Shown.RETRYING.word, 0)
    return Counts(waiting, held)


async def resume(conn: Connection, dispatch_id: int) -> Counts:
    """Let a paused dispatch go on, and what was held with it. Raises RefusedError when neither is."""
    dispatch = await _lock(conn, dispatch_id)
    held = await conn.fetch(FREE_HELD_SQL, dispatch_id)
    if dispatch["paused_at"] is None and not held:
        raise conflict("not-paused", "The dispatch is not paused")
    await conn.execute(RESUME_SQL, dispatch_id)
    senders = await conn.fetch(SENDERS_SQL, dispatch_id)
    await publish(conn, [Event("slices.waiting", row["sender_id"], 5) for row in senders])
    going = await counts(conn, dispatch_id)
    return Counts(going.get(Shown.QUEUED.word, 0) + going.get(Shown.RETRYING.word, 0), going)


async def counts(conn: Connection, dispatch_id: int) -> dict[str, int]:
    """Deliveries of one dispatch by status word, zeros left out; sums slices, never scans deliveries."""
    rows = await conn.fetch(COUNTS_SQL, dispatch_id)
    return {Shown(row["status"]).word: row["n"] for row in rows}


async def _lock(conn: Connection, dispatch_id: int) -> asyncpg.Record:
    dispatch = await conn.fetchrow(LOCK_SQL, dispatch_id)
    if dispatch is None:
        raise not_found("dispatch")
    if dispatch["state"] in {"cancelled", "completed"}:
        raise conflict("dispatch-over", f"The dispatch is {dispatch['state']} already")
    return dispatch
