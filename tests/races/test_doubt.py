"""What may have left stays "may have left" until somebody proves it, whatever happens next."""

from datetime import timedelta

import pytest

from channels.model import Accepted, Deferred, Fact, Reason
from dispatcher.clocks.reconcile import reconcile
from dispatcher.clocks.sweep import sweep
from dispatcher.context import Context
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import RunningSandbox
from dispatcher.stages import control, send
from dispatcher.stages.send.answers import Answers, Page
from dispatcher.stages.send.claim import claim
from dispatcher.stages.send.intent import commit_intent
from dispatcher.stages.send.pages import write
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    plan_out,
    post,
    release_all,
    send_all,
    update,
)
from tests.races.moments import (
    Flight,
    assert_counted,
    begun,
    in_flight,
    lose,
    open_transaction,
    released,
    slice_state,
    told_of,
)

WINDOW = timedelta(seconds=2)


async def doubtful(ctx: Context, clock: MovableClock) -> Flight:
    """Mails that may have left, moved to a slice that resends them: it waits."""
    flight = await in_flight(ctx, mails=3)
    await lose(ctx, flight.held)
    clock.move(WINDOW)
    await reconcile(ctx)
    assert await ctx.pool.fetchval("select n from slice where maybe_duplicate") == 3
    return flight


async def test_nothing_is_resent_while_receipts_wait_that_may_prove_it(
    ctx: Context, clock: MovableClock
) -> None:
    flight = await in_flight(ctx, mails=3)
    await told_of(ctx, flight, Fact.QUEUED, flight.endpoints)
    await lose(ctx, flight.held)
    clock.move(WINDOW)
    await reconcile(ctx)
    assert await slice_state(ctx, flight.held.id) is SliceState.AMBIGUOUS
    await apply_receipts(ctx)
    await reconcile(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"accepted": 3}


@pytest.mark.parametrize(
    ("fact", "status"), [(Fact.QUEUED, "accepted"), (Fact.DELIVERED, "delivered")]
)
async def test_proof_that_comes_after_the_decision_to_resend_stops_it(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox, fact: Fact, status: str
) -> None:
    flight = await doubtful(ctx, clock)
    await told_of(ctx, flight, fact, flight.endpoints)
    await apply_receipts(ctx)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await assert_counted(ctx, flight.accepted) == {status: 3}


async def test_a_late_answer_stops_the_resend_and_moves_nothing_backwards(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    flight = await doubtful(ctx, clock)
    answers = Answers.sort((endpoint, Accepted("late")) for endpoint in flight.endpoints)
    async with open_transaction(ctx) as conn:
        await write(conn, ctx, [Page(flight.held, answers)], now=ctx.now())
    assert await slice_state(ctx, flight.held.id) is SliceState.DONE
    await apply_receipts(ctx)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await assert_counted(ctx, flight.accepted) == {"accepted": 3}


async def test_a_late_refusal_takes_nothing_from_the_worker_that_has_it_now(
    ctx: Context, clock: MovableClock
) -> None:
    flight = await doubtful(ctx, clock)
    late = Deferred(Reason.THROTTLED, "429", sender_wide=True)
    answers = Answers.sort((endpoint, late) for endpoint in flight.endpoints)
    async with open_transaction(ctx) as conn:
        await write(conn, ctx, [Page(flight.held, answers)], now=ctx.now())
    assert await ctx.pool.fetchval("select count(*) from slice where state = 0") == 1
    assert await assert_counted(ctx, flight.accepted) == {"retrying": 3}


async def test_what_may_have_left_and_is_cancelled_stays_unconfirmed(
    ctx: Context, clock: MovableClock
) -> None:
    flight = await doubtful(ctx, clock)
    assert flight.accepted.dispatch_id is not None
    async with open_transaction(ctx) as conn:
        await control.cancel(conn, flight.accepted.dispatch_id, now=ctx.now())
    assert await assert_counted(ctx, flight.accepted) == {"unconfirmed": 3}


async def test_what_may_have_left_and_grows_stale_stays_unconfirmed(
    ctx: Context, clock: MovableClock
) -> None:
    flight = await doubtful(ctx, clock)
    clock.move(timedelta(hours=9))
    await send_all(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"unconfirmed": 3}


async def test_what_may_have_left_before_a_newer_update_stays_unconfirmed(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    flight = await doubtful(ctx, clock)
    newer = await post(ctx, update(ctx, status="identified", facts={"impact": "All fail."}))
    await plan_out(ctx, newer)
    await send_all(ctx)
    assert len(sandbox.ledger) == 3
    assert await assert_counted(ctx, flight.accepted) == {"unconfirmed": 3}


async def test_whoever_may_have_been_told_of_trouble_is_told_of_its_end(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    await doubtful(ctx, clock)
    over = await post(ctx, update(ctx, status="resolved", facts={"next_update_by": None}))
    await plan_out(ctx, over)
    # The end first: the newest update leaves before what is older.
    for slice_id in reversed(await release_all(ctx)):
        await send.run(ctx, slice_id)
    assert len(sandbox.ledger) == 3
    assert await assert_counted(ctx, over) == {"accepted": 3}


async def test_a_second_doubt_is_left_to_people(ctx: Context, clock: MovableClock) -> None:
    flight = await doubtful(ctx, clock)
    (again,) = await release_all(ctx)
    await lose(ctx, await begun(ctx, again))
    clock.move(WINDOW)
    await reconcile(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"unconfirmed": 3}
    assert await ctx.pool.fetchval("select count(*) from slice where state in (0, 1, 2, 3)") == 0


async def test_a_slice_released_before_its_sender_was_paused_waits_for_the_pause_to_end(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    await ctx.pool.execute("update sender set paused_until = $1", ctx.now() + timedelta(seconds=30))
    await send.run(ctx, slice_id)
    await sweep(ctx)
    assert len(sandbox.ledger) == 0
    assert await slice_state(ctx, slice_id) is SliceState.WAITING
    clock.move(timedelta(seconds=31))
    await send_all(ctx)
    assert len(sandbox.ledger) == 3
    assert await assert_counted(ctx, accepted) == {"accepted": 3}


async def test_a_slice_that_grows_stale_between_release_and_intent_is_not_sent(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    held = await claim(ctx, slice_id)
    assert held is not None
    clock.move(timedelta(hours=9))
    async with open_transaction(ctx) as conn:
        assert await commit_intent(conn, ctx, held, ended=False) is None
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await assert_counted(ctx, accepted) == {"expired": 3}
