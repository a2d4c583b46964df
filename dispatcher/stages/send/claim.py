"""Claim a released slice, and commit the intent to send it: the last moment at which anyone can say no."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from dispatcher import tally
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.jobs import Event, publish
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import (
    FAILED_IN_ANY_ATTEMPT,
    STATUS_COUNT,
    TAKEN_IN_ANY_ATTEMPT,
    TOLD_IN_ANY_ATTEMPT,
    DeliveryState,
    SliceState,
    shown,
)
from segments.model import Exclusion

# A job that starts later than its reserved time gives the tokens back rather than bunch with others.
LATE = timedelta(seconds=3)
MAX_RECLAIMS = 3

CLAIM_SQL = f"""
update slice s set epoch = s.epoch + 1, reclaims = s.reclaims + 1
where s.id = $1 and s.state = {SliceState.RELEASED:d}
returning s.*
"""
HOLD_SQL = f"""
update slice set state = {SliceState.HELD:d}, ended_at = $3, detail = 'claimed too often without being sent'
where id = $1 and epoch = $2 and state = {SliceState.RELEASED:d}
"""
GIVE_BACK_SQL = f"""
update slice set state = {SliceState.WAITING:d}, start_at = null, reclaims = greatest(reclaims - 1, 0)
where id = $1 and epoch = $2 and state = {SliceState.RELEASED:d}
"""
LOCK_DISPATCH_SQL = """
select d.state, d.paused_at is not null or coalesce(s.paused_until > $3, false) as paused
from dispatch d left join sender s on s.id = $2 where d.id = $1 for share of d
"""
INTENT_SQL = f"""
update slice set state = {SliceState.IN_FLIGHT:d}, request_id = $3, intent_at = $4, reclaims = 0,
       lease_until = clock_timestamp() + make_interval(secs => $5)
where id = $1 and epoch = $2 and state = {SliceState.RELEASED:d}
returning id
"""
# Everything that may forbid a message is looked at here, in the transaction of the intent: a stop that
# was committed before is obeyed, one that comes after is too late for this message only. What is not
# resent after all ($10) may have left the first time: that stays unconfirmed, whatever the stop.
CULL_SQL = f"""
with asked as materialized (
    select d.endpoint_id, d.attempt, d.evidence,
           case when d.evidence & {TOLD_IN_ANY_ATTEMPT} <> 0 or d.evidence & {TAKEN_IN_ANY_ATTEMPT} <> 0
                     and d.evidence & {FAILED_IN_ANY_ATTEMPT} = 0 then {Decision.ALREADY_TOLD:d}
                when d.address_id is null or a.value is null then {Decision.ERASED:d}
                when exists (select from suppression x where x.channel = d.channel
                             and x.address_hash = a.hash) then {Exclusion.SUPPRESSED:d}
                when d.channel = 2 and not exists (
                     select from contact_endpoint ce where ce.endpoint_id = d.endpoint_id
                     and ce.removed_at is null and ce.consented) then {Exclusion.NO_CONSENT:d}
                when d.channel <> 3 and not exists (
                     select from contact_endpoint ce where ce.endpoint_id = d.endpoint_id
                     and ce.removed_at is null) then {Decision.ERASED:d}
                when exists (select from delivery n where n.update_id = any($6::bigint[])
                             and n.channel = d.channel and n.endpoint_id = d.endpoint_id
                             and n.purpose = d.purpose) then {Decision.NEWER_UPDATE:d}
                when cardinality($7::bigint[]) > 0
                     and not exists (select from reached r where r.incident_id = $8
                                     and r.endpoint_id = d.endpoint_id)
                     and not exists (select from delivery o join slice s on s.id = o.slice_id
                                     where o.update_id = any($7::bigint[]) and o.channel = d.channel
                                     and o.endpoint_id = d.endpoint_id and o.purpose = d.purpose
                                     and (o.state = {DeliveryState.UNCONFIRMED:d}
                                          or s.state = {SliceState.AMBIGUOUS:d} or s.maybe_duplicate))
                then {Decision.NEVER_TOLD:d}
                else 0 end as verdict
    from delivery d left join address a on a.id = d.address_id
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.slice_id = $5 and d.state = {DeliveryState.PLANNED:d}
    order by d.endpoint_id for update of d
), gone as (
    update delivery d set done_at = $9,
           reason = case when $10::boolean and a.verdict <> {Decision.ALREADY_TOLD:d}
                         then {Decision.NO_PROOF:d} else a.verdict end,
           state = case when a.verdict = {Decision.ALREADY_TOLD:d} then {DeliveryState.ACCEPTED:d}
                        when $10::boolean then {DeliveryState.UNCONFIRMED:d}
                        when a.verdict = {Decision.ERASED:d} then {DeliveryState.UNREACHABLE:d}
                        when a.verdict in ({Exclusion.SUPPRESSED:d}, {Exclusion.NO_CONSENT:d})
                        then {DeliveryState.SUPPRESSED:d}
                        else {DeliveryState.SUPERSEDED:d} end
    from asked a
    where a.verdict <> 0 and d.update_id = $1 and d.channel = $2 and d.purpose = $3
      and d.endpoint_id = any($4::bigint[]) and d.endpoint_id = a.endpoint_id
    returning d.endpoint_id, d.state
)
select a.endpoint_id, a.attempt, a.evidence, g.state as gone
from asked a left join gone g on g.endpoint_id = a.endpoint_id
"""
NEWER_UPDATES_SQL = """
select array_agg(id) from incident_update
where incident_id = $1 and id > $2 and state in ('approved', 'planned')
"""
# Someone who was never told of trouble is not told of its end, unless the end is all there ever was.
OLDER_UPDATES_SQL = """
select array_agg(id) from incident_update
where incident_id = $1 and id < $2 and state in ('approved', 'planned')
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A slice this worker holds until somebody else raises its epoch."""

    slice: asyncpg.Record

    @property
    def id(self) -> int:
        return int(self.slice["id"])

    @property
    def epoch(self) -> int:
        return int(self.slice["epoch"])


async def claim(ctx: Context, slice_id: int) -> Claim | None:
    """Raise the epoch of a released slice; None when there is nothing to do (any more, or yet)."""
    async with ctx.pool.acquire() as conn, conn.transaction():
        row = await conn.fetchrow(CLAIM_SQL, slice_id)
        if row is None:
            return None
        now = ctx.now()
        if row["reclaims"] > MAX_RECLAIMS:
            await conn.execute(HOLD_SQL, slice_id, row["epoch"], now)
            return None
        if row["start_at"] is not None and now - row["start_at"] > LATE:
            await give_back(conn, Claim(row))
            return None
        return Claim(row)


async def give_back(conn: Connection, held: Claim) -> None:
    """Return a slice to the waiting ones; nothing of it was sent."""
    await conn.execute(GIVE_BACK_SQL, held.id, held.epoch)
    await publish(conn, [Event("slices.waiting", held.slice["sender_id"], 10 - held.slice["lane"])])


async def commit_intent(
    conn: Connection, ctx: Context, held: Claim, *, ended: bool
) -> set[int] | None:
    """Mark the slice in flight and withdraw those who must not get it; returns who remains.

    None when the slice is no longer ours or too old, its sender or dispatch is paused, or the
    dispatch is cancelled. The caller owns the transaction and sends only after its commit.
    """
    row = held.slice
    now = ctx.now()
    dispatch = await conn.fetchrow(LOCK_DISPATCH_SQL, row["dispatch_id"], row["sender_id"], now)
    if dispatch is None or dispatch["state"] == "cancelled":
        return None
    # Its moment may be long past when this process was stopped in between; release then expires it.
    if dispatch["paused"] or row["expires_at"] <= now:
        await give_back(conn, held)
        return None
    request = f"{held.id}-{held.epoch}"
    lease = ctx.settings.worker.lease_s
    if await conn.fetchval(INTENT_SQL, held.id, held.epoch, request, now, lease) is None:
        return None
    incident, update = row["incident_id"], row["update_id"]
    older = await conn.fetchval(OLDER_UPDATES_SQL, incident, update) if ended else None
    asked = await conn.fetch(
        CULL_SQL,
        update,
        row["channel"],
        row["purpose"],
        row["endpoint_ids"],
        held.id,
        await conn.fetchval(NEWER_UPDATES_SQL, incident, update) or [],
        older or [],
        incident,
        now,
        row["maybe_duplicate"],
    )
    await tally.add(conn, {held.id: _moves(asked)}, STATUS_COUNT)
    return {item["endpoint_id"] for item in asked if item["gone"] is None}


def _moves(asked: Sequence[asyncpg.Record]) -> Counter[int]:
    moves: Counter[int] = Counter()
    for item in asked:
        attempt, evidence = item["attempt"], item["evidence"]
        gone = item["gone"]
        state = DeliveryState.PLANNED if gone is None else DeliveryState(gone)
        moves[shown(DeliveryState.PLANNED, SliceState.RELEASED, attempt, evidence)] -= 1
        moves[shown(state, SliceState.IN_FLIGHT, attempt, evidence)] += 1
    return moves
