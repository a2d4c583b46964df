"""Claim a released slice: whoever raised its epoch last holds it, as long as its lease is alive."""

from dataclasses import dataclass

import asyncpg
import structlog

from dispatcher.context import Context
from dispatcher.db import AWAY, Connection
from dispatcher.jobs import Event, publish
from dispatcher.metrics import SLICES_HELD
from dispatcher.rules.punctuality import is_late
from dispatcher.rules.states import SliceState

log = structlog.get_logger(__name__)

MAX_RECLAIMS = 3

# A lease that has run out is that of a holder who died: who lives renews it, or lets go.
CLAIM_SQL = f"""
update slice s set epoch = s.epoch + 1, reclaims = s.reclaims + (s.lease_until is not null)::int,
       lease_until = clock_timestamp() + make_interval(secs => $2)
where s.id = $1 and s.state = {SliceState.RELEASED:d}
  and (s.lease_until is null or s.lease_until < clock_timestamp())
returning s.*
"""
HOLD_SQL = f"""
update slice set state = {SliceState.HELD:d}, ended_at = $3,
       detail = 'whoever wanted to send it died or failed, three times'
where id = $1 and epoch = $2 and state = {SliceState.RELEASED:d}
"""
GIVE_BACK_SQL = f"""
update slice set state = {SliceState.WAITING:d}, start_at = null, lease_until = null
where id = $1 and epoch = $2 and state = {SliceState.RELEASED:d}
"""
LET_GO_SQL = f"""
update slice set lease_until = null, reclaims = reclaims + $3::int
where id = $1 and epoch = $2 and state = {SliceState.RELEASED:d}
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
    """Raise the epoch of a released slice; None when there is nothing to do (any more, or yet).

    While another claim's lease is alive there is nothing to do either. A slice over which MAX_RECLAIMS
    holders died or failed is held, for people to look at.
    """
    async with ctx.pool.acquire() as conn, conn.transaction():
        row = await conn.fetchrow(CLAIM_SQL, slice_id, ctx.settings.worker.lease_s)
        if row is None:
            return None
        now = ctx.now()
        if row["reclaims"] >= MAX_RECLAIMS:
            await conn.execute(HOLD_SQL, slice_id, row["epoch"], now)
            SLICES_HELD.inc()
            return None
        if is_late(row["start_at"], now, row["spacing_s"]):
            await give_back(conn, Claim(row))
            return None
        return Claim(row)


async def give_back(conn: Connection, held: Claim) -> None:
    """Return a slice to the waiting ones; nothing of it was sent.

    What was reserved for it is lost: the flow only grows thinner by it, never faster.
    """
    await conn.execute(GIVE_BACK_SQL, held.id, held.epoch)
    await publish(conn, [Event("slices.waiting", held.slice["sender_id"], 10 - held.slice["lane"])])


async def let_go(ctx: Context, held: Claim, why: BaseException, *, until: float) -> None:
    """Leave a slice whose intent did not come about to whoever claims it next.

    A database that was away says nothing about the slice, nor does an end of this process; anything else
    counts like a death. Tried until that moment of the monotonic clock: what is not let go of would count.
    """
    counts = isinstance(why, Exception) and not isinstance(why, AWAY)
    while True:
        try:
            await ctx.pool.execute(LET_GO_SQL, held.id, held.epoch, int(counts))
        except AWAY:
            if not isinstance(why, Exception) or ctx.clock.monotonic() >= until:
                log.warning("slice_not_let_go", slice_id=held.id)
                return
            await ctx.clock.sleep(ctx.rng.uniform(0.1, 0.5))
        else:
            return
