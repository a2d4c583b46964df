"""A claim counts against a slice only when its holder died or broke over it; the third one is the last."""

import asyncio
from collections.abc import Iterator

import pytest

from dispatcher.clocks.sweep import sweep
from dispatcher.context import Context
from dispatcher.failpoints import BrokenHereError, arm
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import RunningSandbox
from dispatcher.stages import send
from dispatcher.stages.send.claim import MAX_RECLAIMS, claim
from dispatcher.stages.send.intent import commit_intent
from tests.races.moments import (
    assert_counted,
    end_lease,
    open_transaction,
    released,
    slice_state,
)

# The next intents fail as they do while a database starts; a sequence is not rolled back.
INTENTS_FAIL_SQL = """
create sequence refused;
create function refuse() returns trigger language plpgsql as $$
begin
    if new.state = 2 and nextval('refused') <= {times} then
        raise exception 'starting up' using errcode = '57P03';
    end if;
    return new;
end $$;
create trigger refuse before update on slice for each row execute function refuse();
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm({})


async def test_jobs_that_come_twice_do_not_take_a_slice_from_its_holder(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    held = await claim(ctx, slice_id)
    assert held is not None
    for _ in range(MAX_RECLAIMS + 2):
        assert await claim(ctx, slice_id) is None
    assert await slice_state(ctx, slice_id) is SliceState.RELEASED
    await end_lease(ctx, held)
    await send.run(ctx, slice_id)
    assert len(sandbox.ledger) == 3
    assert await assert_counted(ctx, accepted) == {"accepted": 3}


@pytest.mark.fault(11)
async def test_a_holder_whose_lease_ended_cannot_begin_what_another_holds(ctx: Context) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    first = await claim(ctx, slice_id)
    assert first is not None
    await end_lease(ctx, first)
    second = await claim(ctx, slice_id)
    assert second is not None
    async with open_transaction(ctx) as conn:
        assert await commit_intent(conn, ctx, first, ended=False) is None
    async with open_transaction(ctx) as conn:
        assert await commit_intent(conn, ctx, second, ended=False) is not None
    assert await assert_counted(ctx, accepted) == {"sending": 3}


async def test_a_database_that_refuses_intents_holds_no_slice_back_for_good(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    await ctx.pool.execute(INTENTS_FAIL_SQL.format(times=MAX_RECLAIMS + 2))
    for _ in range(MAX_RECLAIMS + 2):
        with pytest.raises(Exception, match="starting up"):
            await send.run(ctx, slice_id)
    await send.run(ctx, slice_id)
    assert len(sandbox.ledger) == 3
    assert await assert_counted(ctx, accepted) == {"accepted": 3}


async def test_what_breaks_whoever_sends_it_is_quarantined_after_three_times(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted, slice_id = await released(ctx, mails=3)
    arm({"send.before_intent": "fail"})
    for _ in range(MAX_RECLAIMS):
        assert await slice_state(ctx, slice_id) is SliceState.RELEASED
        with pytest.raises(BrokenHereError):
            await send.run(ctx, slice_id)
    await send.run(ctx, slice_id)
    assert await slice_state(ctx, slice_id) is SliceState.HELD
    assert len(sandbox.ledger) == 0
    assert await assert_counted(ctx, accepted) == {"queued": 3}


async def test_a_claim_is_renewed_like_any_lease_while_its_holder_lives(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    _, slice_id = await released(ctx, mails=3)
    arm({"send.before_intent": "delay:0.5"})
    sending = asyncio.create_task(send.run(ctx, slice_id))
    await asyncio.sleep(0.2)
    assert ctx.leases.keys() == {slice_id}
    await sweep(ctx)
    await send.run(ctx, slice_id)
    await sending
    assert ctx.leases == {}
    assert await ctx.pool.fetchval("select epoch from slice where id = $1", slice_id) == 1
    assert len(sandbox.ledger) == 3
