"""Fault 43: every worker runs every clock, so several do the same at once."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from dispatcher.clocks.reconcile import reconcile
from dispatcher.clocks.release import release_due
from dispatcher.clocks.sweep import sweep
from dispatcher.context import Context
from dispatcher.rules.states import SliceState
from tests.chaos.people import crowd
from tests.flow.story import MovableClock, eventually, plan_out, post, update
from tests.races.moments import (
    assert_counted,
    end_lease,
    in_flight,
    open_transaction,
    slice_state,
)

pytestmark = pytest.mark.fault(43)

AT_ONCE = 3  # the pool has two more: the lock and the look
WAITING_SQL = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


async def all_at_once(ctx: Context, turn: Callable[[Context], Coroutine[Any, Any, None]]) -> None:
    """Let several stand before the same slices, and go at one moment."""
    async with open_transaction(ctx) as conn:
        await conn.execute("lock table slice in access exclusive mode")
        turns = [asyncio.create_task(turn(ctx)) for _ in range(AT_ONCE)]

        async def all_wait() -> bool:
            return bool(await ctx.pool.fetchval(WAITING_SQL) == AT_ONCE)

        await eventually(all_wait, what="all should wait")
    await asyncio.gather(*turns)


async def test_a_slice_that_many_sweeps_find_lost_is_given_up_once(ctx: Context) -> None:
    flight = await in_flight(ctx, mails=6)
    await end_lease(ctx, flight.held)
    await all_at_once(ctx, sweep)
    assert await slice_state(ctx, flight.held.id) is SliceState.AMBIGUOUS
    epoch = await ctx.pool.fetchval("select epoch from slice where id = $1", flight.held.id)
    assert epoch == flight.held.epoch + 1
    await assert_counted(ctx, flight.accepted)


async def test_a_slice_in_doubt_that_many_judge_is_resent_once(ctx: Context) -> None:
    flight = await in_flight(ctx, mails=6)
    await end_lease(ctx, flight.held)
    await sweep(ctx)
    await ctx.pool.execute("update slice set ambiguous_at = ambiguous_at - interval '1 hour'")
    await all_at_once(ctx, reconcile)
    resent = "select count(*) from slice where maybe_duplicate and n = 6"
    assert await ctx.pool.fetchval(resent) == 1
    await assert_counted(ctx, flight.accepted)


async def test_what_many_release_at_once_is_released_once_and_woken_once(
    ctx: Context, clock: MovableClock
) -> None:
    await crowd(ctx, mails=6, texts=6)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    await all_at_once(ctx, release_due)
    # Late enough for the sweep to believe that the wake-ups are lost.
    clock.move(timedelta(seconds=5))
    await asyncio.gather(*(sweep(ctx) for _ in range(AT_ONCE)))
    woken = await ctx.pool.fetch(
        """select dedupe_key, count(*) as n from pgqueuer
           where entrypoint like 'slice.released.%' group by 1"""
    )
    released = await ctx.pool.fetchval("select count(*) from slice where state = 1")
    assert [row["n"] for row in woken] == [1] * released
    assert released >= 2
    await assert_counted(ctx, accepted)
