"""Commit the intent to send a slice: the last moment at which anyone can say no."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from dispatcher import tally
from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.rules.paused import PAUSED
from dispatcher.rules.policy import Severity
from dispatcher.rules.punctuality import is_late
from dispatcher.rules.reasons import Decision
from dispatcher.rules.replaced import REPLACED_BY
from dispatcher.rules.states import (
    FAILED_IN_ANY_ATTEMPT,
    STATUS_COUNT,
    TAKEN_IN_ANY_ATTEMPT,
    TOLD_IN_ANY_ATTEMPT,
    DeliveryState,
    SliceState,
    shown,
)
from dispatcher.stages.send.claim import Claim, give_back
from dispatcher.stages.send.people import PERSON_JOINS, TOLD, earlier, person_columns
from dispatcher.stages.send.record import postpone
from segments.model import Exclusion
from segments.quiet import quiet_end

People: TypeAlias = Mapping[int, asyncpg.Record]
"""By endpoint, what the message to a person is filled with; see `people.person_columns`."""

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
# To plan the statement below anew takes nearly as long as to run it; one plan serves, if it seeks by keys
# whatever PostgreSQL knows of a table that may have been empty a minute ago.
BY_KEYS = "set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off"
# It also asks for a person's stop, here and not with the dispatch: by now no lock is waited for.
UPDATE_SQL = f"""
select u.severity, u.component_ids, {PAUSED.format(channel="$2::smallint", now="$3::timestamptz")} as paused,
       array(select n.id from incident_update n where n.incident_id = u.incident_id
             and n.id > u.id and n.state in ('approved', 'planned')) as newer,
       array(select o.id from incident_update o where o.incident_id = u.incident_id
             and o.id < u.id and o.state in ('approved', 'planned')) as older,
       array(select o.id from incident_update o where o.incident_id = u.incident_id
             and o.id < u.id and o.state <> 'draft') as earlier
from incident_update u where u.id = $1
"""
# The rule of the audience for one person: the wish for a component of the incident decides, else the
# general one, and who said nothing wants it.
_UNWANTED = """
exists (select from subscription w
        where w.contact_id = {contact} and w.channel = k.channel
          and (w.component_id = 0 or w.component_id = any($11::bigint[]))
        having not (
            coalesce(bool_or(w.wanted) filter (where w.component_id <> 0), false)
            or count(*) filter (where w.component_id <> 0) < greatest(cardinality($11::bigint[]), 1)
               and coalesce(bool_or(w.wanted) filter (where w.component_id = 0), true)))
"""
_PERHAPS_TOLD = f"""
({TOLD} or d.state = {DeliveryState.UNCONFIRMED:d}
 or s.state = {SliceState.AMBIGUOUS:d} or s.maybe_duplicate)
"""
# Everything that may forbid a message is looked at here, in the transaction of the intent: a stop that
# was committed before is obeyed, one that comes after is too late for this message only. What is not
# resent after all ($10) may have left the first time: that stays unconfirmed, whatever the stop.
# An inbox several people share is spared once none of those who were to read there wants it.
# Whoever changes these deliveries holds their slice, as we do: the rows need no locks of their own.
CULL_SQL = f"""
with asked as materialized (
    select k.endpoint_id, k.attempt, k.evidence, {person_columns("$8")},
           coalesce(nullif(c.time_zone, ''), acc.time_zone) as zone, c.quiet_from, c.quiet_until,
           case when k.evidence & {TOLD_IN_ANY_ATTEMPT} <> 0 or k.evidence & {TAKEN_IN_ANY_ATTEMPT} <> 0
                     and k.evidence & {FAILED_IN_ANY_ATTEMPT} = 0 then {Decision.ALREADY_TOLD:d}
                when k.address_id is null or a.value is null then {Decision.ERASED:d}
                when exists (select from suppression x where x.channel = k.channel
                             and x.address_hash = a.hash) then {Exclusion.SUPPRESSED:d}
                when k.channel = 2 and not exists (
                     select from contact_endpoint ce where ce.endpoint_id = k.endpoint_id
                     and ce.removed_at is null and ce.consented) then {Exclusion.NO_CONSENT:d}
                when k.channel <> 3 and not exists (
                     select from contact_endpoint ce where ce.endpoint_id = k.endpoint_id
                     and ce.removed_at is null)
                then case when c.erased_at is null then {Decision.ADDRESS_CHANGED:d}
                          else {Decision.ERASED:d} end
                -- The first look is cheap, and spares nearly everybody the second.
                when k.channel <> 3 and exists (
                     select from subscription w where w.contact_id = c.id and w.channel = k.channel
                     and not w.wanted) and {_UNWANTED.format(contact="c.id")} and not exists (
                     select from contact_endpoint ce
                     join delivery o on o.update_id = k.update_id and o.channel = k.channel
                          and o.endpoint_id = -ce.contact_id and o.purpose = k.purpose
                     where ce.endpoint_id = k.endpoint_id and ce.removed_at is null
                       and o.reason = {Exclusion.SHARED_INBOX:d}
                       and not {_UNWANTED.format(contact="ce.contact_id")})
                then {Decision.UNSUBSCRIBED:d}
                when cardinality($6::bigint[]) > 0
                     and exists (select from delivery n where n.update_id = any($6::bigint[])
                                 and n.channel = k.channel and n.endpoint_id = k.endpoint_id
                                 and n.purpose = k.purpose and {REPLACED_BY})
                then {Decision.NEWER_UPDATE:d}
                when $7::boolean and not {earlier("$8", _PERHAPS_TOLD)} then {Decision.NEVER_TOLD:d}
                else 0 end as verdict
    from delivery k {PERSON_JOINS}
    where k.update_id = $1 and k.channel = $2 and k.purpose = $3 and k.endpoint_id = any($4::bigint[])
      and k.slice_id = $5 and k.state = {DeliveryState.PLANNED:d}
), gone as (
    update delivery d set done_at = $9,
           reason = case when $10::boolean and a.verdict <> {Decision.ALREADY_TOLD:d}
                         then {Decision.NO_PROOF:d} else a.verdict end,
           state = case when a.verdict = {Decision.ALREADY_TOLD:d} then {DeliveryState.ACCEPTED:d}
                        when $10::boolean then {DeliveryState.UNCONFIRMED:d}
                        when a.verdict in ({Decision.ERASED:d}, {Decision.ADDRESS_CHANGED:d})
                        then {DeliveryState.UNREACHABLE:d}
                        when a.verdict in ({Exclusion.SUPPRESSED:d}, {Exclusion.NO_CONSENT:d},
                                           {Decision.UNSUBSCRIBED:d})
                        then {DeliveryState.SUPPRESSED:d}
                        else {DeliveryState.SUPERSEDED:d} end
    from asked a
    where a.verdict <> 0 and d.update_id = $1 and d.channel = $2 and d.purpose = $3
      and d.endpoint_id = any(array(select endpoint_id from asked where verdict <> 0))
      and d.endpoint_id = a.endpoint_id
    returning d.endpoint_id, d.state
)
select a.*, g.state as gone
from asked a left join gone g on g.endpoint_id = a.endpoint_id
order by a.endpoint_id
"""


class _NotNowError(Exception):
    """The slice's moment passed during the intent, or its channel is paused by hand: undone."""


async def commit_intent(
    conn: Connection, ctx: Context, held: Claim, *, ended: bool
) -> People | None:
    """Mark the slice in flight and withdraw those who must not get it; returns who remains.

    None when the slice is no longer ours, too old, or too late for its moment, its sender, channel or
    dispatch is paused, or the dispatch is cancelled. The caller owns the transaction and sends only
    after its commit.
    """
    row = held.slice
    dispatch = await conn.fetchrow(
        LOCK_DISPATCH_SQL, row["dispatch_id"], row["sender_id"], ctx.now()
    )
    if dispatch is None or dispatch["state"] == "cancelled":
        return None
    # Its moment may be long past when this process was stopped in between; release then expires it.
    if dispatch["paused"] or row["expires_at"] <= ctx.now():
        await give_back(conn, held)
        return None
    try:
        async with conn.transaction():
            return await _intend(conn, ctx, held, ended=ended)
    except _NotNowError:
        await give_back(conn, held)
        return None


async def _intend(conn: Connection, ctx: Context, held: Claim, *, ended: bool) -> People | None:
    row = held.slice
    now = ctx.now()
    request = f"{held.id}-{held.epoch}"
    lease = ctx.settings.worker.lease_s
    if await conn.fetchval(INTENT_SQL, held.id, held.epoch, request, now, lease) is None:
        return None
    # Locks may have been waited for up to here. Late slices would leave together with punctual ones.
    if is_late(row["start_at"], ctx.now(), row["spacing_s"]):
        raise _NotNowError
    update = await one_row(conn, UPDATE_SQL, row["update_id"], row["channel"], now)
    if update["paused"]:
        raise _NotNowError
    await conn.execute(BY_KEYS)
    asked = await conn.fetch(
        CULL_SQL,
        *_where(row),
        update["newer"],
        # Who was never told of trouble is not told of its end, unless the end is all there ever was.
        ended and bool(update["older"]),
        update["earlier"],
        now,
        row["maybe_duplicate"],
        update["component_ids"],
    )
    await tally.add(conn, {held.id: _moves(asked)}, STATUS_COUNT)
    going = {item["endpoint_id"]: item for item in asked if item["gone"] is None}
    if going and ctx.policy.of(Severity(update["severity"])).quiet_hours_bind:
        for endpoint in await _hush(conn, row, going.values(), now):
            del going[endpoint]
    return going


def _where(row: asyncpg.Record) -> tuple[int, int, int, list[int], int]:
    return row["update_id"], row["channel"], row["purpose"], row["endpoint_ids"], row["id"]


async def _hush(
    conn: Connection, row: asyncpg.Record, people: Iterable[asyncpg.Record], now: datetime
) -> set[int]:
    """Put off whoever has quiet hours by now: a pause or a retry may have led into them."""
    until: dict[datetime, list[int]] = defaultdict(list)
    for person in people:
        if person["quiet_from"] is None:
            continue
        end = quiet_end(now, person["zone"], person["quiet_from"], person["quiet_until"])
        if end > now:
            until[end].append(person["endpoint_id"])
    for end, endpoints in until.items():
        await postpone(
            conn,
            row,
            endpoints,
            lane=row["lane"],
            attempt=row["attempt"],
            until=end,
            detail="waits for the end of quiet hours",
            now=now,
        )
    return {endpoint for endpoints in until.values() for endpoint in endpoints}


def _moves(asked: Sequence[asyncpg.Record]) -> Counter[int]:
    moves: Counter[int] = Counter()
    alike = Counter((item["attempt"], item["evidence"], item["gone"]) for item in asked)
    for (attempt, evidence, gone), n in alike.items():
        state = DeliveryState.PLANNED if gone is None else DeliveryState(gone)
        moves[shown(DeliveryState.PLANNED, SliceState.RELEASED, attempt, evidence)] -= n
        moves[shown(state, SliceState.IN_FLIGHT, attempt, evidence)] += n
    return moves
