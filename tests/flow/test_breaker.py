"""A sender is stopped before many are in doubt, asked by a few, and trusted again by one answer."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from channels.model import ChannelKind, Fact, Receipt
from dispatcher.clocks.reconcile import reconcile
from dispatcher.context import Context
from dispatcher.db import one_row
from dispatcher.rules.breaker import MOST_ASKED, MOST_DOUBTS_BATCH, MOST_DOUBTS_SINGLE
from dispatcher.rules.policy import RETRY_LANE
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.sandbox.faults import HalfAccept, RateLimit, Slow, StatusFault
from dispatcher.stages import send, track
from tests.chaos.people import crowd
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    eventually,
    plan_out,
    post,
    recounted,
    release_all,
    send_all,
    statuses,
    update,
)

EMAIL, SMS = ChannelKind.EMAIL.code, ChannelKind.SMS.code
A_WHILE = timedelta(minutes=6)


def storm(provider: Provider, times: int | None = None) -> StatusFault:
    return StatusFault(provider=provider, kind="status", status=503, times=times)


async def sender(ctx: Context, channel: int) -> Any:
    async with ctx.pool.acquire() as conn:
        return await one_row(conn, "select * from sender where channel = $1", channel)


async def released(ctx: Context, channel: int) -> list[int]:
    """How many people are in each slice of the channel that has its moment."""
    slices = await release_all(ctx)
    rows = await ctx.pool.fetch(
        "select n from slice where id = any($1) and channel = $2", slices, channel
    )
    return [row["n"] for row in rows]


async def stop(ctx: Context, channel: int) -> None:
    """As after a refusal: the pause is over, the sender on probation."""
    await ctx.pool.execute(
        """update sender set trips = 1, paused_until = $2::timestamptz - interval '1 second',
                  paused_why = 'provider_unclear' where channel = $1""",
        channel,
        ctx.now(),
    )


async def waiting(ctx: Context, **people: int) -> int:
    """An update that is planned and not yet released; its number."""
    await crowd(ctx, **people)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    return accepted.update_id


async def tell_of_all_that_left(ctx: Context, sandbox: RunningSandbox) -> None:
    """Receipts of everything in the ledger, as web would store them; and applied."""
    told = [
        Receipt(key=row["key"], fact=Fact.QUEUED, at=ctx.now()) for row in sandbox.ledger.rows()
    ]
    async with ctx.pool.acquire() as conn:
        await track.store(conn, ctx, "sendgrid", told, now=ctx.now())
    await apply_receipts(ctx)


def requests_of(sandbox: RunningSandbox, provider: Provider) -> list[int]:
    """How many messages each request had that was taken, in order."""
    sizes = Counter(row["rq"] for row in sandbox.ledger.rows() if row["provider"] == provider)
    return list(sizes.values())


async def counted(ctx: Context, update_id: int) -> dict[str, int]:
    """Deliveries by status; the slices' counters must agree with a recount of the rows."""
    dispatch = await ctx.pool.fetchval("select id from dispatch where update_id = $1", update_id)
    counters = await statuses(ctx, dispatch)
    assert counters == await recounted(ctx, update_id)
    return {word: n for word, n in counters.items() if word != "unreachable"}


async def test_a_storm_leaves_a_handful_of_texts_in_doubt_and_all_others_due(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    update_id = await waiting(ctx, texts=60)
    switch = sandbox.faults.add(storm(Provider.TWILIO))
    await send_all(ctx)
    stopped = await sender(ctx, SMS)
    assert (stopped["trips"], stopped["paused_why"]) == (1, "provider_unclear")
    found = await counted(ctx, update_id)
    assert found["queued"] + found["unconfirmed"] == 60
    # Those that were on their way when the fifth answer came.
    assert MOST_DOUBTS_SINGLE <= found["unconfirmed"] <= 3 * MOST_DOUBTS_SINGLE
    assert switch.struck == found["unconfirmed"]
    assert await ctx.pool.fetchval("select max(attempt) from slice where state = 0") == 1


async def test_three_mail_requests_in_a_row_that_end_unclear_stop_the_sender(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await crowd(ctx, mails=1)
    for number in range(MOST_DOUBTS_BATCH + 2):
        incident = {"external_id": f"INC-{number}"}
        await plan_out(ctx, await post(ctx, update(ctx, incident=incident)))
    switch = sandbox.faults.add(storm(Provider.SENDGRID))
    await send_all(ctx)
    assert switch.struck == MOST_DOUBTS_BATCH
    assert (await sender(ctx, EMAIL))["paused_why"] == "provider_unclear"
    assert await ctx.pool.fetchval("select count(*) from slice where state = 0") == 2


async def test_a_sender_that_was_stopped_is_asked_by_ten_mails_and_then_sends_the_rest(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    update_id = await waiting(ctx, mails=25)
    await stop(ctx, EMAIL)
    other = await post(ctx, update(ctx, incident={"external_id": "INC-2"}))
    await plan_out(ctx, other)
    assert await released(ctx, EMAIL) == [25]
    assert await released(ctx, EMAIL) == [25]
    await send_all(ctx)
    first, *rest = requests_of(sandbox, Provider.SENDGRID)
    assert (first, sorted(rest)) == (MOST_ASKED, [15, 25])
    assert (await sender(ctx, EMAIL))["trips"] == 0
    assert await counted(ctx, update_id) == {"accepted": 25}
    assert await counted(ctx, other.update_id) == {"accepted": 25}
    assert await ctx.pool.fetchval("select max(attempt) from delivery") == 1


async def test_a_sender_that_was_stopped_is_asked_by_one_text(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    update_id = await waiting(ctx, texts=5)
    await stop(ctx, SMS)
    switch = sandbox.faults.add(storm(Provider.TWILIO, times=1))
    await send_all(ctx)
    assert switch.struck == 1
    assert (await sender(ctx, SMS))["trips"] == 2
    assert await counted(ctx, update_id) == {"unconfirmed": 1, "queued": 4}
    clock.move(A_WHILE)
    await send_all(ctx)
    assert (await sender(ctx, SMS))["trips"] == 0
    assert await counted(ctx, update_id) == {"unconfirmed": 1, "accepted": 4}


async def test_who_is_not_to_be_told_after_all_does_not_keep_a_stopped_sender_from_asking(
    ctx: Context,
) -> None:
    await waiting(ctx, texts=30)
    over = await post(ctx, update(ctx, status="resolved", facts={"next_update_by": None}))
    await plan_out(ctx, over)
    other = await post(ctx, update(ctx, incident={"external_id": "INC-2"}))
    await plan_out(ctx, other)
    await stop(ctx, SMS)
    # The newest asks, and is told; nobody was told of the trouble, so nobody is told of its end.
    for _ in range(4):
        for slice_id in await release_all(ctx):
            await send.run(ctx, slice_id)
    assert await counted(ctx, other.update_id) == {"accepted": 30}
    assert await counted(ctx, over.update_id) == {"superseded": 30}


async def test_an_answer_that_is_no_better_stops_the_sender_for_longer_and_few_are_in_doubt(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    update_id = await waiting(ctx, mails=40)
    await stop(ctx, EMAIL)
    for trips in (2, 3):
        sandbox.faults.add(storm(Provider.SENDGRID, times=1))
        await send_all(ctx)
        stopped = await sender(ctx, EMAIL)
        assert stopped["trips"] == trips
        assert stopped["paused_until"] > ctx.now()
        assert await counted(ctx, update_id) == {
            "unconfirmed": 10 * (trips - 1),
            "queued": 40 - 10 * (trips - 1),
        }
        clock.move(A_WHILE)
    await send_all(ctx)
    assert await counted(ctx, update_id) == {"unconfirmed": 20, "accepted": 20}


async def test_a_refusal_of_one_message_shows_that_the_provider_is_back(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await waiting(ctx, texts=3)
    await stop(ctx, SMS)
    sandbox.faults.add(StatusFault(provider=Provider.TWILIO, kind="status", status=400, times=1))
    await send_all(ctx)
    assert (await sender(ctx, SMS))["trips"] == 0
    assert sandbox.ledger.accepted[Provider.TWILIO] == 2


async def test_a_sender_that_is_stopped_takes_back_what_had_its_moment(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    update_id = await waiting(ctx, mails=2)
    other = await post(ctx, update(ctx, incident={"external_id": "INC-2"}))
    await plan_out(ctx, other)
    first, *_ = await release_all(ctx)
    sandbox.faults.add(RateLimit(provider=Provider.SENDGRID, kind="rate_limit", times=1))
    await send.run(ctx, first)
    states = await ctx.pool.fetch("select state from slice where channel = $1 order by id", EMAIL)
    assert SliceState.RELEASED not in {row["state"] for row in states}
    assert await counted(ctx, update_id) == {"queued": 2}


async def test_what_hung_since_before_the_pause_neither_ends_the_probation_nor_begins_another(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    await crowd(ctx, mails=1)
    for number in range(3):
        await plan_out(ctx, await post(ctx, update(ctx, incident={"external_id": f"INC-{number}"})))
    slow, throttled, _ = await release_all(ctx)
    hanging = Slow(provider=Provider.SENDGRID, kind="slow", seconds=0.5, times=1)
    sandbox.faults.add(hanging)
    sending = asyncio.create_task(send.run(ctx, slow))

    async def hangs() -> bool:
        assert not sending.done()
        return bool(sandbox.faults.active()) is False

    await eventually(hangs, what="hanging")
    sandbox.faults.add(RateLimit(provider=Provider.SENDGRID, kind="rate_limit", times=1))
    await send.run(ctx, throttled)
    clock.move(A_WHILE)
    # It does not count as the one that asks.
    assert await released(ctx, EMAIL) == [1]
    await sending
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1
    state = await sender(ctx, EMAIL)
    assert (state["trips"], state["paused_why"]) == (1, "throttled")


async def test_retries_give_way_to_what_is_sent_for_the_first_time(
    ctx: Context, clock: MovableClock
) -> None:
    await waiting(ctx, texts=4)
    copy = """insert into slice (update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose,
                  lane, state, n, not_before, expires_at, endpoint_ids, n_by_status)
              select update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose, $1, 0, 10,
                     not_before, expires_at, '{}', n_by_status
              from slice s, generate_series(1, $2) where s.channel = 2 and s.n = 4"""
    await ctx.pool.execute(copy, RETRY_LANE, 300)
    await ctx.pool.execute(copy, 4, 300)
    await ctx.pool.execute("delete from slice where n <> 10")
    for _ in range(20):
        await release_all(ctx)
        await ctx.pool.execute("update slice set state = 4 where state = 1 and channel = 2")
        clock.move(timedelta(seconds=1))
    rows = await ctx.pool.fetch(
        "select lane, sum(n)::int as n from slice where state = 4 group by 1"
    )
    left = {row["lane"]: row["n"] for row in rows}
    share = left[RETRY_LANE] / sum(left.values())
    assert 0.15 <= share <= 0.23
    assert sum(left.values()) >= 20 * 80


@pytest.mark.fault(24)
async def test_of_a_request_that_was_taken_by_half_each_needs_proof_of_its_own(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    update_id = await waiting(ctx, mails=10)
    sandbox.faults.add(
        HalfAccept(provider=Provider.SENDGRID, kind="half_accept", accept=4, times=1)
    )
    await send_all(ctx)
    assert await counted(ctx, update_id) == {"unconfirmed": 10}
    await tell_of_all_that_left(ctx, sandbox)
    await reconcile(ctx)
    assert await counted(ctx, update_id) == {"accepted": 4, "unconfirmed": 6}
    clock.move(timedelta(seconds=2))
    await reconcile(ctx)
    await send_all(ctx)
    assert await counted(ctx, update_id) == {"accepted": 10}
    assert sandbox.ledger.duplicates[Provider.SENDGRID] == 0
    assert len(sandbox.ledger) == 10
