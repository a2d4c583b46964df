"""Moments of one slice, reached by hand, so that a race can be made to happen every time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from channels.model import ChannelKind, Fact, Receipt
from dispatcher.clocks.sweep import sweep
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Purpose, SliceState
from dispatcher.stages import track
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.send.claim import Claim, claim
from dispatcher.stages.send.intent import commit_intent
from tests.chaos.people import crowd
from tests.flow.story import (
    eventually,
    plan_out,
    post,
    recounted,
    release_all,
    statuses,
    update,
)

BLOCKED_SQL = """
select exists (select from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock')
"""


@dataclass(frozen=True, slots=True)
class Flight:
    """One update with one slice of mails or texts, and who holds it."""

    accepted: AcceptedUpdate
    held: Claim

    @property
    def endpoints(self) -> list[int]:
        return list(self.held.slice["endpoint_ids"])


async def released(ctx: Context, *, mails: int = 0, texts: int = 0) -> tuple[AcceptedUpdate, int]:
    """An update whose one slice has its moment; the slice's number."""
    await crowd(ctx, mails=mails, texts=texts)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    (slice_id,) = await release_all(ctx)
    return accepted, slice_id


async def in_flight(ctx: Context, *, mails: int = 0, texts: int = 0) -> Flight:
    """A slice whose intent is committed: from here on nobody can know what has left."""
    accepted, slice_id = await released(ctx, mails=mails, texts=texts)
    return Flight(accepted, await begun(ctx, slice_id))


async def begun(ctx: Context, slice_id: int) -> Claim:
    """Claim and intent of a released slice."""
    held = await claim(ctx, slice_id)
    assert held is not None
    going = await in_transaction(
        ctx.pool, lambda conn: commit_intent(conn, ctx, held, ended=False), rng=ctx.rng
    )
    assert going is not None
    assert set(going) == set(held.slice["endpoint_ids"])
    return held


async def lose(ctx: Context, held: Claim) -> None:
    """The lease runs out and the sweep sees it."""
    await end_lease(ctx, held)
    await sweep(ctx)
    assert await slice_state(ctx, held.id) is SliceState.AMBIGUOUS


async def end_lease(ctx: Context, held: Claim) -> None:
    await ctx.pool.execute(
        "update slice set lease_until = clock_timestamp() - interval '1 second' where id = $1",
        held.id,
    )


async def slice_state(ctx: Context, slice_id: int) -> SliceState:
    return SliceState(await ctx.pool.fetchval("select state from slice where id = $1", slice_id))


def receipts(
    ctx: Context, flight: Flight, fact: Fact, endpoints: Sequence[int], *, attempt: int = 1
) -> list[Receipt]:
    """What the provider tells of these endpoints, with our keys."""
    row = flight.held.slice
    return [
        Receipt(
            key=ctx.signer.delivery_key(
                DeliveryKey(row["update_id"], row["channel"], endpoint, Purpose.NOTICE, attempt)
            ),
            fact=fact,
            at=ctx.now(),
        )
        for endpoint in endpoints
    ]


async def told_of(ctx: Context, flight: Flight, fact: Fact, endpoints: Sequence[int]) -> None:
    """Store receipts as web does; nobody has applied them yet."""
    provider = ChannelKind.from_code(flight.held.slice["channel"]).value
    async with ctx.pool.acquire() as conn:
        stored = receipts(ctx, flight, fact, endpoints)
        await track.store(conn, ctx, provider, stored, now=ctx.now())


@asynccontextmanager
async def open_transaction(ctx: Context) -> AsyncIterator[Connection]:
    """A transaction that commits when the block ends."""
    async with ctx.pool.acquire() as conn, conn.transaction():
        yield conn


async def until_blocked(ctx: Context, other: asyncio.Task[Any]) -> None:
    """Until `other` waits for a lock; fails when it is through without."""

    async def waits() -> bool:
        assert not other.done(), "nothing held it back"
        return bool(await ctx.pool.fetchval(BLOCKED_SQL))

    await eventually(waits, what="waiting for a lock")


async def assert_counted(ctx: Context, accepted: AcceptedUpdate) -> dict[str, int]:
    """The counters of the slices say what a recount of the rows says; those with an address."""
    counters = await statuses(ctx, accepted.dispatch_id)
    assert counters == await recounted(ctx, accepted.update_id)
    return {word: n for word, n in counters.items() if word != "unreachable"}
