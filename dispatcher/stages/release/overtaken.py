"""What a newer update speaks for ends before it gets a moment of its sender.

The intent would withdraw it as well, but only after its moment was reserved: after an outage, a backlog
of older updates would take as much of the flow as the newest gets.

Nothing ends before the newer one has begun to leave: it may yet be cancelled, as if it had never been, and
what it would have replaced is then all that anybody is told. Until then older ones stand behind it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from dispatcher import tally
from dispatcher.db import Connection, one_row
from dispatcher.rules.reasons import Decision
from dispatcher.rules.replaced import REPLACED_BY
from dispatcher.rules.states import STATUS_COUNT, DeliveryState, Shown, SliceState

# They end under the lock of the sender, for which others wait, a P0 among them: about a tenth of a second.
# One slice in any case.
MOST_PEOPLE = 2_000

# Of the updates after these, in the same incidents, those that have a moment by that channel or had one;
# `has_begun`: something of it may have left.
LEADING_SQL = f"""
select distinct n.id, exists (
    select from dispatch d join slice t on t.dispatch_id = d.id
    where d.update_id = n.id and t.channel = $2 and t.intent_at is not null) as has_begun
from incident_update o
join incident_update n on n.incident_id = o.incident_id and n.id > o.id and n.state in ('approved', 'planned')
where o.id = any($1::bigint[]) and exists (
    select from dispatch d join slice t on t.dispatch_id = d.id
    where d.update_id = n.id and t.channel = $2
      and (t.intent_at is not null or t.state = {SliceState.RELEASED:d}))
"""
# Of each slice the first undecided one tells whether to look at all of them: a slice that was looked at,
# and waits for people whom no newer update reaches, is not looked through at every turn.
SPOKEN_FOR_SQL = f"""
select s.id, newer.ids as newer from slice s
cross join lateral (
    select array(select n.id from incident_update n where n.incident_id = s.incident_id
                 and n.id > s.update_id and n.id = any($2::bigint[])) as ids) newer
cross join lateral (
    select d.endpoint_id from delivery d
    where d.update_id = s.update_id and d.channel = s.channel and d.purpose = s.purpose
      and d.endpoint_id = any(s.endpoint_ids) and d.slice_id = s.id
      and d.state = {DeliveryState.PLANNED:d} and d.evidence = 0
    limit 1) first
where s.id = any($1::bigint[]) and s.state = {SliceState.WAITING:d}
  and s.attempt = 1 and not s.maybe_duplicate and cardinality(newer.ids) > 0
  and exists (select from delivery n where n.update_id = any(newer.ids) and n.channel = s.channel
              and n.endpoint_id = first.endpoint_id and n.purpose = s.purpose and {REPLACED_BY})
order by s.id for no key update of s
"""
END_SQL = f"""
with undecided as materialized (
    select d.endpoint_id,
           d.evidence = 0 and exists (
               select from delivery n where n.update_id = any($6::bigint[]) and n.channel = d.channel
               and n.endpoint_id = d.endpoint_id and n.purpose = d.purpose and {REPLACED_BY}) as replaced
    from delivery d
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.slice_id = $5 and d.state = {DeliveryState.PLANNED:d}
    order by d.endpoint_id for update
), ended as (
    update delivery d set state = {DeliveryState.SUPERSEDED:d}, reason = {Decision.NEWER_UPDATE:d},
           done_at = $7
    from undecided o
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.endpoint_id = o.endpoint_id and o.replaced
)
select count(*) filter (where replaced) as replaced, count(*) filter (where not replaced) as left_over
from undecided
"""
CLOSE_SQL = f"""
update slice set state = {SliceState.DONE:d}, ended_at = $2, detail = 'a newer update replaced it'
where id = any($1::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """`aside`: slices that get no moment in this turn. `has_ended`: some of it is over, perhaps not all."""

    aside: frozenset[int] = frozenset()
    has_ended: bool = False


async def overtake(conn: Connection, waiting: Sequence[asyncpg.Record], now: datetime) -> Overtaken:
    """End what newer updates on their way speak for, as far as a turn has time for it.

    The caller holds the sender, gives the rest its moments, and looks again when something ended.
    """
    rows = {row["id"]: row for row in waiting if row["overtaken"]}
    if not rows:
        return Overtaken()
    updates = {row["update_id"] for row in rows.values()}
    ahead = await conn.fetch(LEADING_SQL, list(updates), waiting[0]["channel"])
    begun = {row["id"] for row in ahead if row["has_begun"]}
    # Who has its turn now goes before those that it may replace. One that is stopped stands in nobody's way.
    leading = {row["id"] for row in ahead} | {row["update_id"] for row in waiting}
    found = await conn.fetch(SPOKEN_FOR_SQL, list(rows), list(leading))
    moves: dict[int, Counter[int]] = {}
    over = []
    people = 0
    for one in found:
        row, newer = rows[one["id"]], begun.intersection(one["newer"])
        people += row["n"] if newer else 0
        if not newer or (moves and people > MOST_PEOPLE):
            continue
        place = (row["update_id"], row["channel"], row["purpose"], row["endpoint_ids"], row["id"])
        ended = await one_row(conn, END_SQL, *place, list(newer), now)
        n = ended["replaced"]
        moves[row["id"]] = Counter({Shown.QUEUED: -n, Shown.SUPERSEDED: n})
        if ended["left_over"] == 0:
            over.append(row["id"])
    if moves:
        await conn.execute(CLOSE_SQL, over, now)
        await tally.add(conn, moves, STATUS_COUNT)
    has_ended = any(move[Shown.SUPERSEDED] for move in moves.values())
    return Overtaken(frozenset(row["id"] for row in found), has_ended)
