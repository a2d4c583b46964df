"""A sender that was stopped is asked again by one small slice, and by no other until there is an answer."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from channels.model import ChannelKind
from dispatcher import tally
from dispatcher.db import Connection, one_row
from dispatcher.rules.states import STATUS_COUNT, DeliveryState, SliceState, shown

# A request for many costs its provider as much as one for few; these are in doubt if it fails.
PEOPLE_ASKED = {ChannelKind.EMAIL: 10}

COLUMNS = """
s.id, s.lane, s.units, s.n, s.update_id, s.channel, s.purpose, s.expires_at, s.endpoint_ids,
s.maybe_duplicate, s.epoch, s.not_before
"""
# What left before the pause may hang for long; it asks nothing any more.
ASKING_SQL = f"""
select exists (
    select from slice where sender_id = $1
    and (state = {SliceState.RELEASED:d} or state = {SliceState.IN_FLIGHT:d} and intent_at >= $2))
"""
HOLD_SQL = f"select from slice where id = $1 and state = {SliceState.WAITING:d} for update"
# The few that are cut off, not the many that stay, are the rows that move.
CUT_SQL = f"""
with o as materialized (
    select endpoint_id, attempt, evidence from delivery
    where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
      and slice_id = $5 and state = {DeliveryState.PLANNED:d}
    order by endpoint_id limit $6
), fresh as (
    insert into slice (update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose, lane,
                       round, attempt, state, units, n, maybe_duplicate, not_before, expires_at, endpoint_ids,
                       n_by_status, detail)
    select s.update_id, s.incident_id, s.dispatch_id, s.rendering_id, s.sender_id, s.channel, s.purpose,
           s.lane, s.round, s.attempt, s.state, s.units, (select count(*) from o), s.maybe_duplicate,
           s.not_before, s.expires_at, (select array_agg(endpoint_id) from o),
           array_fill(0, array[{STATUS_COUNT}]), 'asks whether the provider is back'
    from slice s where s.id = $5 and exists (select from o)
    returning id
), u as (
    update delivery d set slice_id = fresh.id
    from fresh
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3
      and d.endpoint_id = any(array(select endpoint_id from o)) and d.slice_id = $5
)
select fresh.id, o.attempt, o.evidence, count(*) as n from o, fresh group by 1, 2, 3
"""
SHRINK_SQL = "update slice set n = n - $2 where id = $1"
READ_SQL = f"select {COLUMNS} from slice s where s.id = $1"


async def probe(
    conn: Connection, sender: asyncpg.Record, waiting: Sequence[asyncpg.Record], now: datetime
) -> list[asyncpg.Record]:
    """What of the waiting slices, best first, may be looked at in this turn: one that is still fresh.

    The caller holds the sender. Those that are stale come too, to be ended.
    """
    if await conn.fetchval(ASKING_SQL, sender["id"], sender["paused_until"]):
        return []
    stale = [row for row in waiting if row["expires_at"] <= now]
    fresh = [row for row in waiting if row["expires_at"] > now]
    if not fresh:
        return stale
    # A second doubt would be the last one, so rather those that are sent for the first time; and rather
    # what is small already than to cut up one slice after the other.
    chosen = min(fresh, key=lambda row: (row["lane"], row["maybe_duplicate"], row["n"]))
    return [*stale, await _cut(conn, chosen)]


async def _cut(conn: Connection, row: asyncpg.Record) -> asyncpg.Record:
    """The slice itself, or as many of its people as are enough to ask, in a slice of their own."""
    most = PEOPLE_ASKED.get(ChannelKind.from_code(row["channel"]), 1)
    if row["n"] <= most or await conn.fetchrow(HOLD_SQL, row["id"]) is None:
        return row
    cut = await conn.fetch(
        CUT_SQL,
        row["update_id"],
        row["channel"],
        row["purpose"],
        row["endpoint_ids"],
        row["id"],
        most,
    )
    if not cut:
        return row
    moves: dict[int, Counter[int]] = {row["id"]: Counter(), cut[0]["id"]: Counter()}
    for group in cut:
        status = shown(
            DeliveryState.PLANNED, SliceState.WAITING, group["attempt"], group["evidence"]
        )
        moves[row["id"]][status] -= group["n"]
        moves[group["id"]][status] += group["n"]
    await conn.execute(SHRINK_SQL, row["id"], sum(group["n"] for group in cut))
    await tally.add(conn, moves, STATUS_COUNT)
    return await one_row(conn, READ_SQL, cut[0]["id"])
