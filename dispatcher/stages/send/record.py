"""Settle the deliveries of a slice, or move them on to another one, counters included."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from dispatcher import tally
from dispatcher.db import Connection
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import (
    STATUS_COUNT,
    DeliveryState,
    SliceState,
    next_attempt,
    shown,
)

Where: TypeAlias = tuple[int, int, int]
"""Of a slice: (update, channel, purpose); with an endpoint it is the key of a delivery."""

# Looked at and written side by side, not joined: both see the same rows, since whoever changes a slice's
# deliveries holds the slice, and no plan for a join of few can be wrong about many.
SETTLE_SQL = f"""
with o as materialized (
    select slice_id, attempt, evidence, count(*) as n from delivery
    where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
      and slice_id = any($5::bigint[]) and state = {DeliveryState.PLANNED:d}
    group by 1, 2, 3
), u as (
    update delivery set state = $6::smallint, reason = $7::smallint, evidence = evidence | $8::int,
           done_at = $9::timestamptz,
           sent_at = case when $6::smallint = {DeliveryState.ACCEPTED:d} then $9::timestamptz else sent_at end
    where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
      and slice_id = any($5::bigint[]) and state = {DeliveryState.PLANNED:d}
)
select * from o
"""
# Rows that must wait move to a slice of their own; a new attempt pushes what is known into the past.
MOVE_SQL = f"""
with o as materialized (
    select endpoint_id, attempt, evidence from delivery
    where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
      and slice_id = $5 and state = {DeliveryState.PLANNED:d}
), fresh as (
    insert into slice (update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose, lane,
                       round, attempt, state, units, n, maybe_duplicate, not_before, expires_at, endpoint_ids,
                       n_by_status, detail)
    select s.update_id, s.incident_id, s.dispatch_id, s.rendering_id, s.sender_id, s.channel, s.purpose,
           $6::smallint, s.round, $7::smallint, {SliceState.WAITING:d}, s.units, (select count(*) from o),
           s.maybe_duplicate or $10::boolean, $8, s.expires_at, (select array_agg(endpoint_id) from o),
           array_fill(0, array[{STATUS_COUNT}]), $9
    from slice s where s.id = $5 and exists (select from o)
    returning id
), u as (
    update delivery d set slice_id = fresh.id, attempt = $7::smallint,
           evidence = case when $7::smallint > d.attempt
                           then ((d.evidence & 32767) | (d.evidence >> 16)) << 16 else d.evidence end
    from fresh
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.slice_id = $5 and d.state = {DeliveryState.PLANNED:d}
)
select fresh.id, o.attempt, o.evidence, count(*) as n from o, fresh group by 1, 2, 3
"""


def where(row: asyncpg.Record) -> Where:
    """The part of a delivery's key that all deliveries of a slice share."""
    return row["update_id"], row["channel"], row["purpose"]


async def settle(  # noqa: PLR0913 - one outcome's columns
    conn: Connection,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    *,
    state: DeliveryState,
    reason: int,
    evidence: int,
    now: datetime,
    slice_state: SliceState = SliceState.IN_FLIGHT,
) -> None:
    """Move planned deliveries of one slice to a settled state, counters included."""
    outcome = (state, reason, evidence, now)
    moves = await settle_many(conn, where(row), endpoints, [row["id"]], outcome, slice_state)
    await tally.add(conn, moves, STATUS_COUNT)


async def settle_many(
    conn: Connection,
    place: Where,
    endpoints: Sequence[int],
    slice_ids: Sequence[int],
    outcome: tuple[DeliveryState, int, int, datetime],
    slice_state: SliceState = SliceState.IN_FLIGHT,
) -> dict[int, Counter[int]]:
    """Move planned deliveries of slices with one outcome: state, reason, evidence, when.

    Returns what is to be added to the counters of each slice.
    """
    state, _, evidence, _ = outcome
    moves: dict[int, Counter[int]] = {}
    for group in await conn.fetch(SETTLE_SQL, *place, endpoints, slice_ids, *outcome):
        change = moves.setdefault(group["slice_id"], Counter())
        attempt, before = group["attempt"], group["evidence"]
        change[shown(DeliveryState.PLANNED, slice_state, attempt, before)] -= group["n"]
        change[shown(state, slice_state, attempt, before | evidence)] += group["n"]
    return moves


async def postpone(  # noqa: PLR0913 - a slice's worth of keyword arguments
    conn: Connection,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    *,
    lane: int,
    attempt: int,
    until: datetime,
    detail: str,
    now: datetime,
) -> None:
    """Let planned deliveries of a slice in flight wait until then; what would be too old then, ends."""
    if until < row["expires_at"]:
        await move(
            conn, row, endpoints, lane=lane, attempt=attempt, not_before=until, detail=detail
        )
        return
    # A first attempt that may have left leaves the second one's end open too.
    doubt = row["maybe_duplicate"]
    await settle(
        conn,
        row,
        endpoints,
        state=DeliveryState.UNCONFIRMED if doubt else DeliveryState.EXPIRED,
        reason=Decision.NO_PROOF if doubt else Decision.TIME_TO_LIVE,
        evidence=0,
        now=now,
    )


async def move(  # noqa: PLR0913 - a slice's worth of keyword arguments
    conn: Connection,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    *,
    lane: int,
    attempt: int,
    not_before: datetime,
    detail: str,
    maybe_duplicate: bool = False,
    slice_state: SliceState = SliceState.IN_FLIGHT,
) -> None:
    """Move planned deliveries of a slice to a new waiting slice, counters included."""
    moved = await conn.fetch(
        MOVE_SQL,
        *where(row),
        endpoints,
        row["id"],
        lane,
        attempt,
        not_before,
        detail,
        maybe_duplicate,
    )
    moves: dict[int, Counter[int]] = {row["id"]: Counter()}
    for group in moved:
        before, n = group["evidence"], group["n"]
        after = before if attempt == group["attempt"] else next_attempt(before)
        there = moves.setdefault(group["id"], Counter())
        was = shown(DeliveryState.PLANNED, slice_state, group["attempt"], before)
        moves[row["id"]][was] -= n
        there[shown(DeliveryState.PLANNED, SliceState.WAITING, attempt, after)] += n
    await tally.add(conn, moves, STATUS_COUNT)
