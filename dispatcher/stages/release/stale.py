"""What waited until it was too old to be of use ends here, visibly."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from dispatcher import tally
from dispatcher.db import Connection
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import STATUS_COUNT, DeliveryState, SliceState, shown

# They end under the lock of the sender, for which others wait.
MOST = 100

# Before their deliveries, as all who count do. What ended while it was waited for is left as it is.
LOCK_SQL = f"""
select id from slice where id = any($1::bigint[]) and state = {SliceState.WAITING:d}
order by id for no key update
"""
EXPIRE_SQL = f"""
with o as materialized (
    select d.update_id, d.channel, d.endpoint_id, d.purpose, d.slice_id, d.attempt, d.evidence
    from delivery d
    where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
      and d.slice_id = $5 and d.state = {DeliveryState.PLANNED:d}
    order by d.endpoint_id for update
), u as (
    update delivery d set state = $7::smallint, reason = $8::smallint, done_at = $6
    from o where d.update_id = $1 and d.channel = $2 and d.purpose = $3
      and d.endpoint_id = any($4::bigint[]) and d.endpoint_id = o.endpoint_id
)
select attempt, evidence, count(*) as n from o group by 1, 2
"""
CLOSE_SQL = f"""
update slice set state = {SliceState.DONE:d}, ended_at = $2, detail = 'too old to be of use'
where id = any($1::bigint[])
"""
# Of a dispatch that somebody paused as well nothing ends, here as in a turn that releases.
FIND_STALE_SQL = f"""
select s.id, s.update_id, s.channel, s.purpose, s.endpoint_ids, s.maybe_duplicate
from slice s join dispatch d on d.id = s.dispatch_id
where s.sender_id = $1 and s.state = {SliceState.WAITING:d} and s.expires_at <= $2
  and d.paused_at is null and d.state <> 'cancelled'
order by s.lane, s.round, s.update_id desc, s.id limit {MOST}
"""


def _ending(row: asyncpg.Record) -> tuple[DeliveryState, Decision]:
    """What waits to be resent may have left the first time, so it is not known to have expired."""
    if row["maybe_duplicate"]:
        return DeliveryState.UNCONFIRMED, Decision.NO_PROOF
    return DeliveryState.EXPIRED, Decision.TIME_TO_LIVE


async def expire(conn: Connection, stale: Sequence[asyncpg.Record], now: datetime) -> None:
    """End waiting slices whose promise no longer holds, and their deliveries."""
    if not stale:
        return
    held = {row["id"] for row in await conn.fetch(LOCK_SQL, [row["id"] for row in stale])}
    moves: dict[int, Counter[int]] = {}
    for row in stale:
        if row["id"] not in held:
            continue
        change = moves.setdefault(row["id"], Counter())
        ended, reason = _ending(row)
        for group in await conn.fetch(
            EXPIRE_SQL,
            row["update_id"],
            row["channel"],
            row["purpose"],
            row["endpoint_ids"],
            row["id"],
            now,
            ended,
            reason,
        ):
            attempt, evidence = group["attempt"], group["evidence"]
            change[shown(DeliveryState.PLANNED, SliceState.WAITING, attempt, evidence)] -= group[
                "n"
            ]
            change[shown(ended, SliceState.DONE, attempt, evidence)] += group["n"]
    await conn.execute(CLOSE_SQL, list(moves), now)
    await tally.add(conn, moves, STATUS_COUNT)


async def find_stale(conn: Connection, sender_id: int, now: datetime) -> list[asyncpg.Record]:
    """Waiting slices of one sender whose promise no longer holds, for `expire`."""
    return await conn.fetch(FIND_STALE_SQL, sender_id, now)
