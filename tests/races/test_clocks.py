"""Fault 43: every worker runs every clock, so several do the same at once."""

import asyncio
from datetime import timedelta

import pytest

from dispatcher.clocks.reconcile import reconcile
from dispatcher.clocks.release import release_due
from dispatcher.clocks.sweep import sweep
from dispatcher.context import Context
from dispatcher.rules.states import SliceState
from tests.chaos.people import crowd
from tests.flow.story import MovableClock, plan_out, post, update
from tests.races.moments import assert_counted, end_lease, in_flight, slice_state

pytestmark = pytest.mark.fault(43)

AT_ONCE = 4


async def test_a_slice_that_many_sweeps_find_lost_is_given_up_once(ctx: Context) -> None:
    flight = await in_flight(ctx, mails=6)
    await end_lease(ctx, flight.held)
    await asyncio.gather(*(sweep(ctx) for _ in range(AT_ONCE)))
    assert await slice_state(ctx, flight.held.id) is SliceState.AMBIGUOUS
    epoch = await ctx.pool.fetchval("select epoch from slice where id = $1", flight.held.id)
    assert epoch == flight.held.epoch + 1
    await assert_counted(ctx, flight.accepted)


async def test_a_slice_in_doubt_that_many_judge_is_resent_once(ctx: Context) -> None:
    flight = await in_flight(ctx, mails=6)
    await end_lease(ctx, flight.held)
    await sweep(ctx)
    await ctx.pool.execute("update slice set ambiguous_at = ambiguous_at - interval '1 hour'")
    await asyncio.gather(*(reconcile(ctx) for _ in range(AT_ONCE)))
    resent = "select count(*) from slice where maybe_duplicate and n = 6"
    assert await ctx.pool.fetchval(resent) == 1
    await assert_counted(ctx, flight.accepted)


async def test_what_many_release_at_once_is_released_once_and_woken_once(
    ctx: Context, clock: MovableClock
) -> None:
    await crowd(ctx, mails=6, texts=6)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    await asyncio.gather(*(release_due(ctx) for _ in range(AT_ONCE)))
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
