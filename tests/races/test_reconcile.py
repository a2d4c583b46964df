"""The provider is asked about every message in doubt, whatever else hangs or fails meanwhile."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from channels.model import ChannelKind
from dispatcher.clocks.reconcile import ASKING_S, LOOK_UPS_AT_ONCE, reconcile
from dispatcher.clocks.sweep import sweep
from dispatcher.context import Context
from dispatcher.db import one_row
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.sandbox.faults import Slow, StatusFault
from dispatcher.stages.send.build import build, single_message
from dispatcher.stages.send.claim import Claim
from tests.chaos.people import by_mail, crowd
from tests.flow.story import (
    MovableClock,
    eventually,
    plan_out,
    post,
    release_all,
    seed,
    update,
)
from tests.races.moments import assert_counted, begun, end_lease, in_flight, lose, slice_state

WINDOW = timedelta(seconds=2)
TEXTS = 30


class HurriedClock(MovableClock):
    """Every look at the interval clock costs all the time there is for asking."""

    _passed = 0.0

    def monotonic(self) -> float:
        self._passed += ASKING_S / 2
        return self._passed


async def leave(ctx: Context, held: Claim, endpoints: Sequence[int]) -> None:
    """These texts of the slice reach the provider; answers and receipts are lost."""
    async with ctx.pool.acquire() as conn:
        row = await one_row(conn, "select * from slice where id = $1", held.id)
        parcel = await build(conn, ctx, row)
    for endpoint in endpoints:
        message = single_message(ctx, row, "lost", parcel, endpoint)
        await ctx.channels[ChannelKind.SMS].send(message)


async def mail_and_text_in_doubt(ctx: Context) -> tuple[int, int]:
    """Numbers of two ambiguous slices: a text's, in doubt for longer, and a mail's."""
    await crowd(ctx, mails=1, texts=1)
    await plan_out(ctx, await post(ctx, update(ctx)))
    held = [await begun(ctx, slice_id) for slice_id in await release_all(ctx)]
    mail, text = sorted(held, key=lambda claim: claim.slice["channel"])
    for claim in (text, mail):
        await end_lease(ctx, claim)
        await sweep(ctx)
        await ctx.pool.execute(
            "update slice set ambiguous_at = ambiguous_at - interval '1 second' where state = 3"
        )
    # In whatever order a turn looks, the text comes first.
    await ctx.pool.execute("update slice set lane = 0 where id = $1", text.id)
    return text.id, mail.id


async def test_every_text_is_asked_about_before_one_is_sent_again(
    ctx: Context, clock: MovableClock
) -> None:
    flight = await in_flight(ctx, texts=TEXTS)
    await leave(ctx, flight.held, flight.endpoints)
    await lose(ctx, flight.held)
    clock.move(WINDOW)
    await reconcile(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"accepted": TEXTS}
    assert await ctx.pool.fetchval("select count(*) from slice where maybe_duplicate") == 0


async def test_texts_that_never_left_keep_none_that_did_from_being_found(ctx: Context) -> None:
    flight = await in_flight(ctx, texts=TEXTS)
    last = flight.endpoints[-1:]
    await leave(ctx, flight.held, last)
    await lose(ctx, flight.held)
    for _ in range(50):
        await reconcile(ctx)
        if (await assert_counted(ctx, flight.accepted)).get("accepted"):
            break
    assert await assert_counted(ctx, flight.accepted) == {"accepted": 1, "unconfirmed": TEXTS - 1}


async def test_nothing_is_decided_about_a_text_there_was_no_time_to_ask_about(
    ctx: Context, clock: MovableClock
) -> None:
    texts = LOOK_UPS_AT_ONCE + 3
    flight = await in_flight(ctx, texts=texts)
    await lose(ctx, flight.held)
    clock.move(WINDOW)
    hurried = replace(ctx, clock=HurriedClock(clock.now()))
    await reconcile(hurried)
    again = "select coalesce(sum(n), 0) from slice where maybe_duplicate"
    assert await ctx.pool.fetchval(again) == LOOK_UPS_AT_ONCE
    assert await slice_state(ctx, flight.held.id) is SliceState.AMBIGUOUS
    await reconcile(hurried)
    assert await ctx.pool.fetchval(again) == texts
    assert await slice_state(ctx, flight.held.id) is SliceState.DONE
    await assert_counted(ctx, flight.accepted)


async def test_a_provider_of_texts_that_hangs_keeps_no_mail_in_doubt(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    text, mail = await mail_and_text_in_doubt(ctx)
    clock.move(WINDOW)
    sandbox.faults.add(Slow(provider=Provider.TWILIO, kind="slow", seconds=60, on="look_up"))
    turn = asyncio.create_task(reconcile(ctx))

    async def mail_is_settled() -> bool:
        return await slice_state(ctx, mail) is SliceState.DONE

    await eventually(mail_is_settled)
    assert await slice_state(ctx, text) is SliceState.AMBIGUOUS
    await turn
    sandbox.faults.clear()
    await reconcile(ctx)
    assert await slice_state(ctx, text) is SliceState.DONE


async def test_a_text_is_not_sent_again_while_the_provider_cannot_say_whether_it_has_it(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    flight = await in_flight(ctx, texts=TEXTS)
    await leave(ctx, flight.held, flight.endpoints)
    await lose(ctx, flight.held)
    clock.move(WINDOW)
    switch = sandbox.faults.add(
        StatusFault(provider=Provider.TWILIO, kind="status", status=503, on="look_up")
    )
    await reconcile(ctx)
    assert await slice_state(ctx, flight.held.id) is SliceState.AMBIGUOUS
    assert switch.struck == LOOK_UPS_AT_ONCE
    sandbox.faults.clear()
    await reconcile(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"accepted": TEXTS}
    assert await ctx.pool.fetchval("select count(*) from slice where maybe_duplicate") == 0


async def test_what_the_provider_never_told_is_left_to_people_once_it_is_too_old(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    flight = await in_flight(ctx, texts=TEXTS)
    await lose(ctx, flight.held)
    clock.move(timedelta(hours=3))
    sandbox.faults.add(
        StatusFault(provider=Provider.TWILIO, kind="status", status=503, on="look_up")
    )
    await reconcile(ctx)
    assert await assert_counted(ctx, flight.accepted) == {"unconfirmed": TEXTS}
    assert await slice_state(ctx, flight.held.id) is SliceState.DONE


async def test_a_slice_that_cannot_be_reconciled_stops_no_other(
    ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [by_mail(0)])
    slices = []
    for number in range(2):
        incident = {"external_id": f"INC-{number}"}
        await plan_out(ctx, await post(ctx, update(ctx, incident=incident)))
        (slice_id,) = await release_all(ctx)
        await lose(ctx, await begun(ctx, slice_id))
        slices.append(slice_id)
    broken, sound = slices
    await ctx.pool.execute(
        """create function broken() returns trigger language plpgsql as $$
           begin if old.id = TG_ARGV[0]::bigint then raise 'broken'; end if; return new; end $$"""
    )
    await ctx.pool.execute(
        f"create trigger broken before update on slice for each row execute function broken('{broken}')"
    )
    clock.move(WINDOW)
    await reconcile(ctx)
    assert await slice_state(ctx, broken) is SliceState.AMBIGUOUS
    assert await slice_state(ctx, sound) is SliceState.DONE
