"""Ranges of contacts: how wide they are, and that two at once come to what one after the other would."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.context import Context
from dispatcher.stages.plan.stage import (
    LARGEST_RANGE,
    RANGE,
    ROWS_A_RANGE,
    GiveWayError,
    NotOursError,
    its_turn,
    next_range,
)
from segments.model import Exclusion
from tests.flow.story import contact, plan_out, post, recounted, seed, statuses, update


@given(st.integers(1, LARGEST_RANGE), st.integers(0, 4 * LARGEST_RANGE))
def test_a_range_stays_within_its_bounds(width: int, planned: int) -> None:
    assert RANGE <= next_range(width, planned) <= LARGEST_RANGE


def test_where_everybody_is_told_ranges_stay_as_they_are() -> None:
    assert next_range(RANGE, RANGE * 3) == RANGE


def test_where_one_in_a_hundred_is_told_ranges_grow_four_times_at_most() -> None:
    assert next_range(RANGE, RANGE // 100) == 4 * RANGE
    assert next_range(LARGEST_RANGE // 2, LARGEST_RANGE // 200) == LARGEST_RANGE


def test_a_range_that_brought_enough_is_not_widened() -> None:
    assert next_range(4 * RANGE, ROWS_A_RANGE) == 4 * RANGE


async def test_an_inbox_shared_by_people_of_different_ranges_gets_one_message(ctx: Context) -> None:
    shared = {"email": "team@example.com"}
    for number, where in ((1, 0), (2, 5_000), (3, 30_000), (4, 200_000)):
        await ctx.pool.execute(
            "select setval(pg_get_serial_sequence('contact', 'id'), $1)", where + number
        )
        await seed(ctx, [contact(number, "small", **shared)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    rows = await ctx.pool.fetch(
        """select endpoint_id > 0 as real, reason from delivery
           where update_id = $1 and channel = 1 order by endpoint_id desc""",
        accepted.update_id,
    )
    assert [(row["real"], row["reason"]) for row in rows] == [(True, 0)] + 3 * [
        (False, Exclusion.SHARED_INBOX)
    ]
    dispatch = await ctx.pool.fetchrow(
        "select cursor, state from dispatch where update_id = $1", accepted.update_id
    )
    assert dispatch is not None
    assert dispatch["cursor"] == await ctx.pool.fetchval("select max(id) from contact")
    assert dispatch["state"] == "sending"
    assert accepted.dispatch_id is not None
    assert await statuses(ctx, accepted.dispatch_id) == await recounted(ctx, accepted.update_id)


async def test_a_range_gives_way_to_the_one_before_that_waits_for_a_row_of_it(ctx: Context) -> None:
    insert = "insert into setting (key, value) values ('an inbox of both', '')"
    async with ctx.pool.acquire() as later, ctx.pool.acquire() as earlier:

        async def before() -> int:
            await earlier.execute(insert)
            return 1

        taken = later.transaction()
        await taken.start()
        await later.execute(insert)
        task = asyncio.create_task(before())
        with pytest.raises(GiveWayError):
            await asyncio.wait_for(its_turn(later, task), 20)
        await taken.rollback()
        await task


async def test_a_range_is_not_kept_when_the_one_before_failed(ctx: Context) -> None:
    async def before() -> int:
        raise OSError

    task = asyncio.create_task(before())
    async with ctx.pool.acquire() as conn:
        with pytest.raises(NotOursError):
            await its_turn(conn, task)
