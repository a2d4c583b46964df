"""Receivers that hang, or that ask us to wait, are spared; nobody else notices them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest

from dispatcher.announce import EventType
from dispatcher.app.processes import work
from dispatcher.clocks.webhooks import SPARED_AT_ONCE, wake_webhooks
from dispatcher.config import Settings
from dispatcher.context import ASIDE, Context
from dispatcher.db import in_transaction
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks import Held, Message
from dispatcher.stages.webhooks.outgoing import AttemptError, Outcome
from dispatcher.stages.webhooks.retries import RETRIES
from dispatcher.stages.webhooks.turn import AT_ONCE, _claim
from dispatcher.watch.sql import WEBHOOKS_SQL
from tests.flow.story import MovableClock, eventually
from tests.profiles import BRISK
from tests.webhooks.hooks import Hook, hook, jobs, log_of, state_of, tell
from tests.webhooks.receiver import Receiver, receiving

FORTY = 40


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    """A receiver may take its time, and connections to the database are few."""
    return web_settings.model_copy(
        update={
            "webhooks": web_settings.webhooks.model_copy(update={"timeout_s": 15}),
            "database": web_settings.database.model_copy(update={"pool_max": 3}),
            "worker": BRISK,
        }
    )


@asynccontextmanager
async def working(ctx: Context) -> AsyncIterator[None]:
    """A whole worker, ended at once."""
    worker = asyncio.create_task(work(ctx, asyncio.Event()))
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.wait([worker])


async def test_forty_receivers_that_hang_hold_up_no_other_and_hold_no_connection(
    ctx: Context,
) -> None:
    # Receivers end before the worker does, which else waits for them.
    async with working(ctx), receiving() as hanging, receiving() as quick:
        hanging.delay_s = 60
        slow = [await hook(ctx, hanging) for _ in range(FORTY)]
        fast = await hook(ctx, quick)
        await tell(ctx, 1)

        async def all_hang() -> bool:
            return hanging.at_once == FORTY

        await eventually(all_hang, what="forty requests at once")
        await tell(ctx, 2)

        async def is_told() -> bool:
            return [item.state for item in await log_of(ctx, fast)] == ["delivered"] * 2

        await eventually(is_told, what="both messages to the healthy one")
        assert {item.log for each in slow for item in await log_of(ctx, each)} == {()}


async def take_turns(ctx: Context) -> list[int]:
    """Which endpoints have a turn now, in order; their jobs are taken, and none is sent anything."""
    await wake_webhooks(ctx)
    chosen = [key for _, key in await jobs(ctx)]
    await ctx.pool.execute("delete from pgqueuer")
    return chosen


async def test_receivers_under_strain_share_a_few_places_and_who_waited_longest_comes_first(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    receiver.then = 503
    strained = []
    for number in range(SPARED_AT_ONCE + 4):
        strained.append((await hook(ctx, receiver)).id)
        await tell(ctx, number)
        clock.move(timedelta(seconds=1))
        # One message each; what else is told them waits.
        await webhooks.run(ctx, strained[-1])
    receiver.then = 204
    well = (await hook(ctx, receiver)).id
    clock.move(timedelta(minutes=6))
    await tell(ctx, 99)
    assert await take_turns(ctx) == [well, *strained[:SPARED_AT_ONCE]]
    held = [
        await in_transaction(ctx.pool, partial(_claim, ctx, number), rng=ctx.rng)
        for number in strained[:3]
        for _ in range(2)
    ]
    assert [item is not None for item in held] == [True, False] * 3, "one message at a time"
    free = strained[3 : 3 + SPARED_AT_ONCE - 3]
    assert await take_turns(ctx) == [well, *free]
    facts = await ctx.pool.fetchrow(WEBHOOKS_SQL)
    assert facts is not None
    assert facts["due"] < ctx.now() - timedelta(minutes=5), "who is spared is late all the same"
    # One good answer, and a receiver is one like all others.
    first = free[0]
    await webhooks.run(ctx, first)
    await tell(ctx, 100)
    assert set(await take_turns(ctx)) >= {first, well}


async def claims(ctx: Context, endpoint: Hook) -> int:
    """How many messages may be under way to it at once."""
    found = 0
    while await in_transaction(ctx.pool, partial(_claim, ctx, endpoint.id), rng=ctx.rng):
        found += 1
    await ctx.pool.execute("update webhook_delivery set state = 'waiting', lease_until = null")
    return found


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_who_asks_us_to_wait_is_sent_nothing_until_then(
    ctx: Context, receiver: Receiver, clock: MovableClock, status: int
) -> None:
    endpoint = await hook(ctx, receiver)
    receiver.answers.append((status, {"Retry-After": "1800"}, b""))
    for number in range(2 * AT_ONCE):
        await tell(ctx, number)
    # The others had been begun already, perhaps.
    receiver.then = 204
    await webhooks.run(ctx, endpoint.id)
    begun = len(receiver.got)
    assert begun <= AT_ONCE
    asked_until = ctx.now() + timedelta(minutes=30)
    waiting = [item for item in await log_of(ctx, endpoint) if item.state == "waiting"]
    assert {item.due_at for item in waiting} == {asked_until}, "the log says when"
    facts = await ctx.pool.fetchrow(WEBHOOKS_SQL)
    assert facts is not None
    assert facts["due"] == asked_until, "nobody is late"
    clock.move(timedelta(minutes=29))
    await tell(ctx, 99)
    await webhooks.run(ctx, endpoint.id)
    assert await take_turns(ctx) == []
    assert len(receiver.got) == begun
    clock.move(timedelta(minutes=1))
    assert await take_turns(ctx) == [endpoint.id]
    assert await claims(ctx, endpoint) == 1
    await webhooks.run(ctx, endpoint.id)
    assert {item.state for item in await log_of(ctx, endpoint)} == {"delivered"}
    for number in range(2 * AT_ONCE):
        await tell(ctx, number)
    assert await claims(ctx, endpoint) == AT_ONCE


async def test_what_was_under_way_when_a_pause_was_asked_for_does_not_end_it(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    await tell(ctx, 1)
    await tell(ctx, 2)
    claim = partial(_claim, ctx, endpoint.id)
    first, second = [await in_transaction(ctx.pool, claim, rng=ctx.rng) for _ in range(2)]
    assert first is not None
    assert second is not None
    busy = Outcome(AttemptError.STATUS, 429, 5, retry_after=timedelta(hours=1))
    well = Outcome(AttemptError.NONE, 204, 5)
    for held, outcome in ((first, busy), (second, well)):
        await in_transaction(ctx.pool, partial(webhooks.record, ctx, held, outcome), rng=ctx.rng)
    await tell(ctx, 3)
    await webhooks.run(ctx, endpoint.id)
    assert receiver.got == []


async def test_customers_messages_find_a_connection_however_many_receivers_there_are(
    ctx: Context, receiver: Receiver
) -> None:
    endpoint = await hook(ctx, receiver)
    await tell(ctx)
    for _ in range(ASIDE):
        await ctx.aside.acquire()
    turn = asyncio.create_task(webhooks.run(ctx, endpoint.id))
    assert not (await asyncio.wait([turn], timeout=0.3))[0]
    assert receiver.got == []
    for _ in range(ASIDE):
        ctx.aside.release()
    await turn
    assert len(receiver.got) == 1


async def test_a_pause_ends_when_a_person_says_so(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    """Sent once more, enabled, led elsewhere, or tested well: nobody has to wait for half a day."""
    endpoint = await hook(ctx, receiver)
    await tell(ctx)

    async def is_paused() -> bool:
        sent = len(receiver.got)
        receiver.answers.append((429, {"Retry-After": "86400"}, b""))
        await webhooks.run(ctx, endpoint.id)
        clock.move(timedelta(seconds=6))
        await webhooks.run(ctx, endpoint.id)
        return len(receiver.got) == sent + 1

    assert await is_paused()
    (logged,) = await log_of(ctx, endpoint)
    async with ctx.pool.acquire() as conn:
        await webhooks.resend(conn, endpoint.id, logged.id, now=ctx.now())
    assert await is_paused(), "it was asked once more, and may ask again"
    async with ctx.pool.acquire() as conn:
        await webhooks.disable(conn, endpoint.id, why="person", now=ctx.now())
        await webhooks.enable(conn, endpoint.id, now=ctx.now())
    assert await is_paused()
    async with ctx.pool.acquire() as conn:
        now = ctx.now()
        number, event, data = await webhooks.open_test(conn, endpoint.id, lease_s=60, now=now)
        message = Message(event, EventType.WEBHOOK_TEST, data, now, receiver.url, ())
        held = Held(number, 1, endpoint.id, message)
        await webhooks.record(ctx, held, Outcome(AttemptError.NONE, 204, 5), conn)
    await tell(ctx, 2)
    assert await is_paused(), "a test that went well ended the pause"
    before = await state_of(ctx, endpoint)
    assert before.failing_since is not None
    async with ctx.pool.acquire() as conn:
        lead = partial(webhooks.change, conn, ctx, endpoint.id, events=before.events)
        kept = await lead(url=before.url, description="described anew")
        assert kept.failing_since == before.failing_since
    clock.move(timedelta(hours=1))
    sent = len(receiver.got)
    await webhooks.run(ctx, endpoint.id)
    assert len(receiver.got) == sent
    async with ctx.pool.acquire() as conn:
        lead = partial(webhooks.change, conn, ctx, endpoint.id, events=before.events)
        moved = await lead(url=f"{before.url}2", description="")
        assert moved.failing_since is None, "another receiver has failed at nothing yet"
    await webhooks.run(ctx, endpoint.id)
    assert len(receiver.got) == sent + 2


async def test_a_receivers_wish_is_heeded_between_our_own_pause_and_our_longest(
    ctx: Context, receiver: Receiver
) -> None:
    async def paused_for(asked: str) -> timedelta:
        endpoint = await hook(ctx, receiver)
        receiver.answers.append((429, {"Retry-After": asked}, b""))
        await tell(ctx)
        await webhooks.run(ctx, endpoint.id)
        (logged,) = await log_of(ctx, endpoint)
        return logged.due_at - ctx.now()

    ours = timedelta(seconds=5)
    assert ours <= await paused_for("1") <= ours * 1.1
    assert ours <= await paused_for("-5") <= ours * 1.1
    assert ours <= await paused_for("Mon, 01 Jan 99999999999999999999 00:00:00 GMT") <= ours * 1.1
    assert await paused_for("3600") == timedelta(hours=1)
    moment = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    assert abs(await paused_for(moment) - timedelta(hours=2)) < timedelta(minutes=1)
    assert await paused_for("86400") == RETRIES[-1]
