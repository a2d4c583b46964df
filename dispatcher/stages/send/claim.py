"""Claim a released slice: whoever raised its epoch last holds it."""

from dataclasses import dataclass

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.jobs import Event, publish
from dispatcher.metrics import SLICES_HELD
from dispatcher.rules.punctuality import is_late
from dispatcher.rules.states import SliceState

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
