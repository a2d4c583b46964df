"""Sweep: publish again whatever is unfinished and has no live job. With it, the queue may lose everything."""

import structlog

from dispatcher import tally
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.jobs import Event, publish
from dispatcher.rules.states import STATUS_COUNT, SliceState
from dispatcher.stages import report
from dispatcher.stages.control import withdraw
from dispatcher.stages.release import released_event
from dispatcher.stages.send.turn import planned, turned
from dispatcher.stages.track import MAX_TRIES, look_again

log = structlog.get_logger(__name__)

UPDATES_SQL = """
select id, state, severity from incident_update where state in ('accepted', 'composed', 'approved')
order by severity, id desc limit 200
"""
# Released and in nobody's hands: its job is lost, or about to start; the epoch decides if both try.
RELEASED_SQL = f"""
select id, lane, channel, start_at from slice
where state = {SliceState.RELEASED:d} and start_at < $1::timestamptz - interval '2 seconds'
  and (lease_until is null or lease_until < clock_timestamp()) limit 500
"""
# The lease is the one thing compared with the database's clock: workers' clocks may differ.
LOST_SQL = f"""
update slice s set state = {SliceState.AMBIGUOUS:d}, ambiguous_at = $1, epoch = s.epoch + 1,
       detail = 'its worker went away'
from (select id from slice where state = {SliceState.IN_FLIGHT:d} and lease_until < clock_timestamp()
      order by id limit 200 for update skip locked) l
where s.id = l.id
returning s.id, s.update_id, s.channel, s.purpose, s.endpoint_ids
"""
CANCELLED_SQL = f"""
select distinct s.dispatch_id from slice s join dispatch d on d.id = s.dispatch_id
where d.state = 'cancelled' and s.state in ({SliceState.WAITING:d}, {SliceState.RELEASED:d}) limit 50
"""
RECEIPTS_SQL = "select exists (select from receipt_batch where tries < $1)"

_NEXT = {
    "accepted": "update.accepted",
    "composed": "update.composed",
    "approved": "update.approved",
}


async def sweep(ctx: Context) -> None:
    """One turn. Everything it publishes is idempotent and not doubled while a job for it waits."""
    lost = await in_transaction(ctx.pool, lambda conn: _lose(conn, ctx), rng=ctx.rng)
    if lost:
        log.warning("slices_ambiguous", count=lost)
    async with ctx.pool.acquire() as conn:
        await publish(conn, await _due(conn, ctx))
        for row in await conn.fetch(CANCELLED_SQL):
            async with conn.transaction():
                await withdraw(conn, row["dispatch_id"], now=ctx.now())
    await look_again(ctx)


async def _due(conn: Connection, ctx: Context) -> list[Event]:
    events = [
        Event(_NEXT[row["state"]], row["id"], 10 - row["severity"])
        for row in await conn.fetch(UPDATES_SQL)
    ]
    lost = await conn.fetch(RELEASED_SQL, ctx.now())
    events += [
        released_event(row["channel"], row["lane"], row["id"], row["start_at"]) for row in lost
    ]
    if await conn.fetchval(RECEIPTS_SQL, MAX_TRIES):
        events.append(Event("receipts.arrived", 0, 5))
    events += [Event("dispatch.planned", key, 1) for key in await report.due(conn, now=ctx.now())]
    events += [Event("export.wanted", key, 1) for key in await report.exports_due(conn)]
    return events


async def _lose(conn: Connection, ctx: Context) -> int:
    """Slices whose worker stopped renewing its lease: nobody knows what left, so they are ambiguous."""
    lost = await conn.fetch(LOST_SQL, ctx.now())
    moves = {
        row["id"]: turned(await planned(conn, row), SliceState.IN_FLIGHT, SliceState.AMBIGUOUS)
        for row in lost
    }
    await tally.add(conn, moves, STATUS_COUNT)
    if lost:
        await reach("sweep.before_commit")
    return len(lost)
