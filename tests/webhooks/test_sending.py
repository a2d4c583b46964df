"""Signed, at least once, again and again for five days, and never more than a receiver can bear."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest
from prometheus_client import REGISTRY
from standardwebhooks import WebhookVerificationError
from structlog.testing import capture_logs

from dispatcher.announce import wanted
from dispatcher.clocks.webhooks import wake_webhooks
from dispatcher.context import Context
from dispatcher.db import in_transaction
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks.outgoing import AttemptError, Outcome
from dispatcher.stages.webhooks.retries import GIVE_UP_AFTER, RETRIES, next_try
from dispatcher.stages.webhooks.turn import AT_ONCE, _claim
from tests.flow.story import MovableClock
from tests.webhooks.hooks import Hook, hook, jobs, log_of, state_of, tell
from tests.webhooks.receiver import Receiver

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def test_a_message_is_signed_as_standard_webhooks_says_and_repeats_itself_exactly(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    receiver.answer(500, b"try later")
    await tell(ctx)
    await webhooks.run(ctx, endpoint.id)
    clock.move(timedelta(seconds=4))
    await webhooks.run(ctx, endpoint.id)
    assert len(receiver.got) == 1, "it is not due before five seconds"
    clock.move(timedelta(seconds=2))
    await webhooks.run(ctx, endpoint.id)
    first, second = receiver.got
    assert first.verify(endpoint.secret) == second.verify(endpoint.secret) == first.json
    assert first.id == second.id
    assert first.id.startswith("msg_")
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 6
    assert set(first.json) == {"type", "timestamp", "data"}
    assert first.headers["Content-Type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        first.verify("whsec_" + "A" * 43 + "=")
    (logged,) = await log_of(ctx, endpoint)
    assert logged.state == "delivered"
    assert [(item.status, item.error, item.excerpt) for item in logged.log] == [
        (500, "status", "try later"),
        (204, "", ""),
    ]


async def test_while_a_secret_is_rotated_both_verify(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    async with ctx.pool.acquire() as conn:
        fresh = [
            await webhooks.rotate(
                conn, ctx, endpoint.id, overlap=timedelta(minutes=2), now=ctx.now()
            )
            for _ in range(2)
        ]
    await tell(ctx)
    await webhooks.run(ctx, endpoint.id)
    (got,) = receiver.got
    assert len(got.headers["webhook-signature"].split()) == 2
    assert got.verify(fresh[0]) == got.verify(fresh[1]) == got.json
    with pytest.raises(WebhookVerificationError):
        got.verify(endpoint.secret)
    clock.move(timedelta(minutes=2))
    await tell(ctx)
    await webhooks.run(ctx, endpoint.id)
    assert receiver.got[1].verify(fresh[1])
    with pytest.raises(WebhookVerificationError):
        receiver.got[1].verify(fresh[0])


def test_pauses_grow_from_five_seconds_to_ten_hours_and_end_after_five_days() -> None:
    assert [item.total_seconds() for item in RETRIES] == [5, 300, 1800, 7200, 18000, 36000]
    at, attempt, rng = START, 1, Random(1)
    pauses = []
    while due := next_try(attempt, at=at, since=START, rng=rng):
        planned = RETRIES[min(attempt, len(RETRIES)) - 1]
        assert planned <= due - at <= planned * 1.1
        pauses.append(due - at)
        at, attempt = due, attempt + 1
    assert timedelta(days=4) < at - START <= GIVE_UP_AFTER == timedelta(days=5)
    assert len(pauses) > 12
    assert len({pause.total_seconds() % 1 for pause in pauses}) > 1, "no two come back together"


async def _fail_until(ctx: Context, clock: MovableClock, endpoint: Hook, count: int) -> None:
    for _ in range(count):
        await webhooks.run(ctx, endpoint.id)
        clock.move(timedelta(hours=11))


async def test_who_does_nothing_but_fail_for_five_days_is_disabled_and_everybody_can_see_it(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    receiver.then = 503
    began = ctx.now()
    before = REGISTRY.get_sample_value("tidings_webhooks_disabled_total", {"why": "failing"}) or 0
    with capture_logs() as logs:
        for number in range(12):
            await tell(ctx, number)
            await _fail_until(ctx, clock, endpoint, 1)
    state = await state_of(ctx, endpoint)
    assert state.failing_since == began
    assert state.disabled_why == "failing"
    assert state.disabled_at is not None
    assert timedelta(days=5) <= state.disabled_at - began < timedelta(days=5, hours=11)
    (said,) = [line for line in logs if line["event"] == "webhook_disabled"]
    assert said["log_level"] == "error"
    assert receiver.url not in str(logs), "an address may hold a secret"
    after = REGISTRY.get_sample_value("tidings_webhooks_disabled_total", {"why": "failing"})
    assert after == before + 1
    row = await ctx.pool.fetchrow("select actor, action, object, detail from audit")
    public = webhooks.public_id(ctx, endpoint.id)
    assert row is not None
    assert tuple(row) == ("system", "webhook.disable", public, {"why": "failing"})
    # Nothing is sent any more, and nothing new is kept for it.
    sent, kept = len(receiver.got), len(await log_of(ctx, endpoint))
    clock.move(timedelta(hours=11))
    await ctx.pool.execute("delete from pgqueuer")
    await tell(ctx, 99)
    await webhooks.run(ctx, endpoint.id)
    await wake_webhooks(ctx)
    assert await jobs(ctx) == []
    assert len(receiver.got) == sent
    assert len(await log_of(ctx, endpoint)) == kept


async def test_what_waited_is_told_when_it_is_enabled_again(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    receiver.answer(410)
    for number in range(3):
        await tell(ctx, number)
    await webhooks.run(ctx, endpoint.id)
    state = await state_of(ctx, endpoint)
    assert (state.disabled_why, state.disabled_at) == ("gone", ctx.now())
    clock.move(timedelta(days=6))
    async with ctx.pool.acquire() as conn:
        assert await webhooks.enable(conn, endpoint.id, now=ctx.now())
        assert await webhooks.enable(conn, endpoint.id, now=ctx.now()) is None
    await webhooks.run(ctx, endpoint.id)
    assert {item.state for item in await log_of(ctx, endpoint)} == {"delivered"}
    assert {got.json["data"]["detail"] for got in receiver.got} == {f"number {n}" for n in range(3)}
    state = await state_of(ctx, endpoint)
    assert (state.disabled_why, state.failing_since) == ("", None)


async def test_one_success_ends_a_time_of_failure_and_what_is_too_old_is_given_up(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    receiver.then = 500
    await tell(ctx, 1)
    for _ in range(14):
        await webhooks.run(ctx, endpoint.id)
        # Another message is well each time: the endpoint is not to blame, this one message is.
        await ctx.pool.execute("update webhook_endpoint set failing_since = null")
        clock.move(timedelta(hours=11))
    (logged,) = await log_of(ctx, endpoint)
    assert logged.state == "failed"
    assert logged.ended_at is not None
    assert (await state_of(ctx, endpoint)).disabled_at is None
    await tell(ctx, 2)
    await webhooks.run(ctx, endpoint.id)
    assert (await state_of(ctx, endpoint)).failing_since == ctx.now()
    receiver.then = 200
    clock.move(timedelta(seconds=6))
    await webhooks.run(ctx, endpoint.id)
    assert (await state_of(ctx, endpoint)).failing_since is None


async def test_two_workers_send_a_message_once_and_an_endpoint_gets_only_so_many_at_once(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    receiver.delay_s = 0.2
    for number in range(3 * AT_ONCE):
        await tell(ctx, number)
    await asyncio.gather(*(webhooks.run(ctx, endpoint.id) for _ in range(3)))
    await webhooks.run(ctx, endpoint.id)
    assert len(receiver.got) == len({got.id for got in receiver.got}) == 3 * AT_ONCE
    assert receiver.most_at_once == AT_ONCE


async def test_who_claims_and_dies_is_followed_by_another_and_what_it_says_late_does_not_count(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    await tell(ctx)
    held = await in_transaction(ctx.pool, partial(_claim, ctx, endpoint.id), rng=ctx.rng)
    assert held is not None
    await webhooks.run(ctx, endpoint.id)
    await wake_webhooks(ctx)
    assert receiver.got == [], "its lease still holds"
    await ctx.pool.execute("delete from pgqueuer")
    await ctx.pool.execute("update webhook_delivery set lease_until = now() - interval '1 second'")
    await wake_webhooks(ctx)
    assert await jobs(ctx) == [("webhook.due", endpoint.id)]
    await webhooks.run(ctx, endpoint.id)
    late = Outcome(AttemptError.GONE, 410, 20_000)
    await in_transaction(ctx.pool, partial(webhooks.record, ctx, held, late), rng=ctx.rng)
    (logged,) = await log_of(ctx, endpoint)
    assert (logged.state, logged.attempt) == ("delivered", 2)
    assert [item.error for item in logged.log] == ["lost", ""]
    assert (await state_of(ctx, endpoint)).disabled_at is None


async def test_a_message_at_which_every_worker_dies_comes_ever_less_often_and_is_given_up(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    await tell(ctx)
    claim = partial(_claim, ctx, endpoint.id)
    deaths = 0
    for _ in range(7 * 24 * 2):
        if await in_transaction(ctx.pool, claim, rng=ctx.rng):
            deaths += 1
            assert await in_transaction(ctx.pool, claim, rng=ctx.rng) is None, "it is held"
            await ctx.pool.execute(
                "update webhook_delivery set lease_until = now() - interval '1 s'"
            )
        clock.move(timedelta(minutes=30))
    (logged,) = await log_of(ctx, endpoint)
    assert (logged.state, logged.attempt, logged.ended_at is not None) == ("failed", deaths, True)
    assert 10 < deaths < 20
    assert {item.error for item in logged.log} == {"lost"}
    assert len(logged.log) == deaths
    # Nobody knows that the receiver was at fault.
    assert (await state_of(ctx, endpoint)).failing_since is None
    await tell(ctx, 2)
    await webhooks.run(ctx, endpoint.id)
    assert [got.json["data"]["detail"] for got in receiver.got] == ["number 2"]


async def test_the_clock_wakes_what_is_due_and_nothing_else(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    await tell(ctx)
    receiver.answer(500)
    await webhooks.run(ctx, endpoint.id)
    await ctx.pool.execute("delete from pgqueuer")
    await wake_webhooks(ctx)
    assert await jobs(ctx) == []
    clock.move(timedelta(seconds=6))
    await wake_webhooks(ctx)
    await wake_webhooks(ctx)
    assert await jobs(ctx) == [("webhook.due", endpoint.id)]


async def test_an_address_that_leads_inside_by_now_is_a_failure_that_is_told(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    await ctx.pool.execute(
        "update webhook_endpoint set url = replace(url, '127.0.0.1', '169.254.169.254')"
    )
    await tell(ctx)
    await webhooks.run(ctx, endpoint.id)
    (logged,) = await log_of(ctx, endpoint)
    assert [item.error for item in logged.log] == ["forbidden"]
    assert (await state_of(ctx, endpoint)).failing_since is not None


async def test_a_secret_sealed_by_another_installation_sends_nothing_and_says_so(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    await ctx.pool.execute("update webhook_secret set sealed = '\\x0102'::bytea")
    await tell(ctx)
    with capture_logs() as logs:
        await webhooks.run(ctx, endpoint.id)
    assert receiver.got == []
    assert "webhook_secret_unreadable" in {line["event"] for line in logs}
    assert (await log_of(ctx, endpoint))[0].log[0].error == "unreadable"


async def test_what_another_version_wrote_holds_nothing_up(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    for number in range(3):
        await tell(ctx, number)
    first, second, third = [item.event_id for item in reversed(await log_of(ctx, endpoint))]
    change = "update webhook_event set data = data {} where id = $1"
    await ctx.pool.execute(change.format("""|| '{"more": 1}'"""), first)
    await ctx.pool.execute(change.format("- 'name'"), second)
    await ctx.pool.execute("update webhook_event set type = 'later.on' where id = $1", third)
    await ctx.pool.execute("update webhook_endpoint set events = events || '{later.on}'::text[]")
    await ctx.pool.execute("alter table webhook_endpoint add column later_on int")
    async with ctx.pool.acquire() as conn:
        assert "later.on" in await wanted(conn)
    with capture_logs() as logs:
        await webhooks.run(ctx, endpoint.id)
    assert [got.json["data"]["detail"] for got in receiver.got] == ["number 0"]
    assert "webhook_event_unreadable" in {line["event"] for line in logs}
    states = "select state from webhook_delivery order by id"
    assert [row["state"] for row in await ctx.pool.fetch(states)] == [
        "delivered",
        "waiting",
        "waiting",
    ]


async def test_what_is_over_for_a_month_is_forgotten_and_what_waits_is_not(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint, broken = await hook(ctx, receiver), await hook(ctx, receiver)
    await tell(ctx, 1)
    await webhooks.run(ctx, endpoint.id)
    await webhooks.run(ctx, broken.id)
    await tell(ctx, 2)
    await webhooks.run(ctx, endpoint.id)
    async with ctx.pool.acquire() as conn:
        clock.move(timedelta(days=29))
        await webhooks.trim_log(conn, now=ctx.now())
        assert len(await log_of(ctx, endpoint)) == 2
        clock.move(timedelta(days=2))
        await webhooks.trim_log(conn, now=ctx.now())
    assert len(await log_of(ctx, endpoint)) == 1
    assert [item.state for item in await log_of(ctx, broken)] == ["waiting"]
