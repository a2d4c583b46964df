"""Two transactions at the same slice at the same time: nothing doubled, nothing counted twice."""

import asyncio
from datetime import timedelta

import pytest

from channels.model import Accepted, Fact
from dispatcher.clocks import sweep
from dispatcher.clocks.reconcile import reconcile
from dispatcher.context import Context
from dispatcher.failpoints import arm
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import RunningSandbox
from dispatcher.stages import approve, compose, control, plan, release, send
from dispatcher.stages.send import pages
from dispatcher.stages.send.answers import Answers, End, Page
from dispatcher.stages.send.claim import claim
from dispatcher.stages.send.intent import commit_intent
from tests.chaos.people import crowd
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    eventually,
    post,
    release_all,
    update,
)
from tests.races.moments import (
    Flight,
    assert_counted,
    end_lease,
    in_flight,
    lose,
    open_transaction,
    released,
    slice_state,
    told_of,
    until_blocked,
)

TERMINATE_BLOCKED_SQL = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""
# A sequence is not rolled back, so it counts what was refused.
TROUBLE_SQL = """
create sequence troubles;
create function trouble() returns trigger language plpgsql as $$
begin
    if nextval('troubles') <= {times} then
        raise exception 'trouble' using errcode = '{code}';
    end if;
    return null;
end $$;
create trigger trouble before update on slice for each statement execute function trouble();
"""


async def write(ctx: Context, flight: Flight) -> None:
    """Record that the provider took everybody."""
    answers = Answers.sort((endpoint, Accepted("ref")) for endpoint in flight.endpoints)
    async with open_transaction(ctx) as conn:
        await pages.write(conn, ctx, [Page(flight.held, answers)], now=ctx.now())


async def test_a_slice_that_three_jobs_want_at_once_is_sent_once(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    await asyncio.gather(*(send.run(ctx, slice_id) for _ in range(3)))
    assert len(sandbox.ledger) == 3
    assert await assert_counted(ctx, accepted) == {"accepted": 3}


async def test_an_update_that_four_jobs_plan_at_once_is_planned_once(ctx: Context) -> None:
    await crowd(ctx, mails=3)
    accepted = await post(ctx, update(ctx))
    await compose.run(ctx, accepted.update_id)
    await approve.run(ctx, accepted.update_id)
    await asyncio.gather(*(plan.run(ctx, accepted.update_id) for _ in range(4)))
    assert await assert_counted(ctx, accepted) == {"queued": 3}


async def test_receipts_that_come_while_the_sweep_gives_a_slice_up_are_counted_once(
    ctx: Context,
) -> None:
    flight = await in_flight(ctx, mails=3)
    await told_of(ctx, flight, Fact.DELIVERED, flight.endpoints[:2])
    await end_lease(ctx, flight.held)
    async with open_transaction(ctx) as conn:
        assert await sweep._lose(conn, ctx) == 1
        tracking = asyncio.create_task(apply_receipts(ctx))
        await until_blocked(ctx, tracking)
    await tracking
    assert await assert_counted(ctx, flight.accepted) == {"delivered": 2, "unconfirmed": 1}


async def test_an_answer_that_comes_while_the_sweep_gives_a_slice_up_only_adds_facts(
    ctx: Context,
) -> None:
    flight = await in_flight(ctx, mails=3)
    await end_lease(ctx, flight.held)
    async with open_transaction(ctx) as conn:
        assert await sweep._lose(conn, ctx) == 1
        recording = asyncio.create_task(write(ctx, flight))
        await until_blocked(ctx, recording)
    await recording
    assert await assert_counted(ctx, flight.accepted) == {"unconfirmed": 3}
    await apply_receipts(ctx)
    await reconcile(ctx)
    assert await slice_state(ctx, flight.held.id) is SliceState.DONE
    assert await assert_counted(ctx, flight.accepted) == {"accepted": 3}


async def test_an_answer_that_comes_after_its_receipts_takes_nothing_from_them(
    ctx: Context,
) -> None:
    flight = await in_flight(ctx, mails=3)
    await told_of(ctx, flight, Fact.DELIVERED, flight.endpoints)
    await apply_receipts(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"delivered": 3}
    await write(ctx, flight)
    assert await assert_counted(ctx, flight.accepted) == {"delivered": 3}


async def test_receipts_that_come_while_a_slice_ends_in_doubt_are_counted_once(
    ctx: Context,
) -> None:
    flight = await in_flight(ctx, mails=3)
    await told_of(ctx, flight, Fact.DELIVERED, flight.endpoints)
    async with open_transaction(ctx) as conn:
        page = Page(flight.held, Answers(), End("reset"))
        await pages.write(conn, ctx, [page], now=ctx.now())
        tracking = asyncio.create_task(apply_receipts(ctx))
        await until_blocked(ctx, tracking)
    await tracking
    assert await assert_counted(ctx, flight.accepted) == {"delivered": 3}


async def test_receipts_of_the_first_attempt_that_come_at_the_intent_of_the_second_are_counted_once(
    ctx: Context, clock: MovableClock
) -> None:
    flight = await in_flight(ctx, mails=3)
    await lose(ctx, flight.held)
    clock.move(timedelta(seconds=2))
    await reconcile(ctx)
    (again,) = await release_all(ctx)
    held = await claim(ctx, again)
    assert held is not None
    await told_of(ctx, flight, Fact.DELIVERED, flight.endpoints)
    async with open_transaction(ctx) as conn:
        going = await commit_intent(conn, ctx, held, ended=False)
        assert going is not None
        assert set(going) == set(flight.endpoints)
        tracking = asyncio.create_task(apply_receipts(ctx))
        await until_blocked(ctx, tracking)
    await tracking
    assert await assert_counted(ctx, flight.accepted) == {"delivered": 3}


async def test_a_cancel_that_waits_for_an_intent_counts_its_messages_as_leaving(
    ctx: Context,
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    held = await claim(ctx, slice_id)
    assert held is not None
    async with open_transaction(ctx) as conn:
        assert await commit_intent(conn, ctx, held, ended=False)
        cancelling = asyncio.create_task(cancel(ctx, accepted.dispatch_id))
        await until_blocked(ctx, cancelling)
    assert await cancelling == 0
    assert await assert_counted(ctx, accepted) == {"sending": 3}


async def test_an_intent_that_waits_for_a_cancel_sends_nothing(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    assert accepted.dispatch_id is not None
    async with open_transaction(ctx) as conn:
        await control.cancel(conn, accepted.dispatch_id, now=ctx.now())
        sending = asyncio.create_task(send.run(ctx, slice_id))
        await until_blocked(ctx, sending)
    await sending
    assert len(sandbox.ledger) == 0
    assert await assert_counted(ctx, accepted) == {"cancelled": 3}


async def cancel(ctx: Context, dispatch_id: int | None) -> int:
    assert dispatch_id is not None
    async with open_transaction(ctx) as conn:
        return (await control.cancel(conn, dispatch_id, now=ctx.now())).changed


async def test_an_intent_that_waits_for_a_pause_gives_its_slice_back(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    assert accepted.dispatch_id is not None
    async with open_transaction(ctx) as conn:
        assert (await control.pause(conn, accepted.dispatch_id, now=ctx.now())).changed == 3
        sending = asyncio.create_task(send.run(ctx, slice_id))
        await until_blocked(ctx, sending)
    await sending
    assert len(sandbox.ledger) == 0
    assert await slice_state(ctx, slice_id) is SliceState.WAITING
    assert await assert_counted(ctx, accepted) == {"queued": 3}


async def test_a_release_that_waits_for_a_cancel_sends_nothing(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await crowd(ctx, mails=3)
    accepted = await post(ctx, update(ctx))
    for stage in (compose.run, approve.run, plan.run):
        await stage(ctx, accepted.update_id)
    sender = await ctx.pool.fetchval("select sender_id from slice where state = 0")
    assert accepted.dispatch_id is not None
    async with open_transaction(ctx) as conn:
        await control.cancel(conn, accepted.dispatch_id, now=ctx.now())
        releasing = asyncio.create_task(release.run(ctx, sender))
        await until_blocked(ctx, releasing)
    await releasing
    slice_id = await ctx.pool.fetchval("select id from slice where sender_id = $1", sender)
    assert await slice_state(ctx, slice_id) is SliceState.DONE
    await send.run(ctx, slice_id)
    assert len(sandbox.ledger) == 0
    assert await assert_counted(ctx, accepted) == {"cancelled": 3}


@pytest.mark.parametrize(
    ("code", "times"),
    [("57P01", 1), ("57P03", 1), ("53300", 1), ("40001", 5)],
    ids=["shut down", "starting", "full", "in conflict"],
)
async def test_a_database_in_trouble_at_the_record_loses_no_answer(
    ctx: Context, sandbox: RunningSandbox, code: str, times: int
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    arm({"send.before_record": "delay:0.3"})
    sending = asyncio.create_task(send.run(ctx, slice_id))
    try:
        await until_sent(sandbox, 3)
        await ctx.pool.execute(TROUBLE_SQL.format(code=code, times=times))
        await sending
    finally:
        arm({})
    assert await ctx.pool.fetchval("select last_value from troubles") > times
    assert len(sandbox.ledger) == 3
    assert await slice_state(ctx, slice_id) is SliceState.DONE
    assert await assert_counted(ctx, accepted) == {"accepted": 3}


async def test_a_connection_cut_under_a_record_loses_no_answer(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    arm({"send.before_record": "delay:0.3"})
    sending = asyncio.create_task(send.run(ctx, slice_id))
    try:
        await until_sent(sandbox, 3)
        async with open_transaction(ctx) as conn:
            await conn.execute("select from slice for update")
            await until_blocked(ctx, sending)
            await conn.execute(TERMINATE_BLOCKED_SQL)
        await sending
    finally:
        arm({})
    assert await slice_state(ctx, slice_id) is SliceState.DONE
    assert await assert_counted(ctx, accepted) == {"accepted": 3}


async def until_sent(sandbox: RunningSandbox, count: int) -> None:
    async def all_there() -> bool:
        return len(sandbox.ledger) == count

    await eventually(all_there, what="sending")


async def test_what_is_too_old_ends_only_when_its_slice_is_held_as_by_all_who_count(
    ctx: Context, clock: MovableClock
) -> None:
    """A receipt that is merged just then holds the slice, and wants its deliveries next."""
    await crowd(ctx, texts=2)
    accepted = await post(ctx, update(ctx))
    for stage in (compose, approve, plan):
        await stage.run(ctx, accepted.update_id)
    (sender,) = await ctx.pool.fetch("select sender_id from slice where channel = 2 and state = 0")
    clock.move(timedelta(days=3))
    async with open_transaction(ctx) as conn:
        await conn.execute("select from slice where channel = 2 for update")
        ending = asyncio.create_task(release.run(ctx, sender["sender_id"]))
        await until_blocked(ctx, ending)
        await conn.execute("set local lock_timeout = '300ms'")
        await conn.execute("select from delivery where channel = 2 for update")
    await ending
    assert (await assert_counted(ctx, accepted))["expired"] == 2
