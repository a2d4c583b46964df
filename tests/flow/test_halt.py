"""A person pauses a channel: nothing leaves, nothing is lost, and only a person or the pause's end lifts it."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.sandbox.faults import RateLimit
from dispatcher.senders import sync_senders
from dispatcher.stages import release, send
from dispatcher.stages.control import pause
from dispatcher.stages.halt import pause_channel, resume_channel
from tests.chaos.people import crowd
from tests.flow.story import (
    MovableClock,
    contact,
    eventually,
    plan_out,
    post,
    recounted,
    release_all,
    seed,
    send_all,
    statuses,
    update,
)

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


async def halt(ctx: Context, kind: ChannelKind, until: datetime | None = None) -> bool:
    async with ctx.pool.acquire() as conn, conn.transaction():
        return await pause_channel(
            conn, kind, reason="wrong words", until=until, actor="cli", now=ctx.now()
        )


async def go_on(ctx: Context, kind: ChannelKind) -> bool:
    async with ctx.pool.acquire() as conn, conn.transaction():
        return await resume_channel(conn, kind, now=ctx.now())


async def told(ctx: Context, **people: int) -> int:
    """An update to these people that is planned; its number."""
    await crowd(ctx, **people)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    return accepted.update_id


async def states(ctx: Context, kind: ChannelKind) -> set[SliceState]:
    rows = await ctx.pool.fetch("select state from slice where channel = $1", kind.code)
    return {SliceState(row["state"]) for row in rows}


async def test_a_paused_channel_takes_back_what_had_its_moment_and_others_go_on(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])
    accepted = await post(ctx, update(ctx, incident={"severity": "P0"}))
    await plan_out(ctx, accepted)
    released = await release_all(ctx)
    assert await halt(ctx, SMS)
    assert await states(ctx, SMS) == {SliceState.WAITING}
    for slice_id in released:
        await send.run(ctx, slice_id)
    await send_all(ctx)
    assert +Counter(sandbox.ledger.accepted) == {Provider.SENDGRID: 3}
    assert (await statuses(ctx, accepted.dispatch_id))["queued"] == 3
    assert await go_on(ctx, SMS)
    await send_all(ctx)
    assert +Counter(sandbox.ledger.accepted) == {Provider.SENDGRID: 3, Provider.TWILIO: 3}
    assert await recounted(ctx, accepted.update_id) == await statuses(ctx, accepted.dispatch_id)


async def test_a_pause_that_is_committed_while_an_intent_waits_for_a_lock_is_obeyed(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await told(ctx, texts=1)
    (slice_id,) = await release_all(ctx)
    async with ctx.pool.acquire() as person:
        lock = person.transaction()
        await lock.start()
        # As somebody who is about to cancel it, and then does not; and as a claim under way holds its slice,
        # which a pause then does not take back.
        await person.execute("select from dispatch for update")
        await person.execute("select from slice for key share")
        sending = asyncio.create_task(send.run(ctx, slice_id))

        async def waits() -> bool:
            assert not sending.done()
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            return bool(await ctx.pool.fetchval(waiting))

        await eventually(waits, what="the intent waits")
        assert await halt(ctx, SMS)
        assert await states(ctx, SMS) == {SliceState.RELEASED}
        await lock.rollback()
    await sending
    assert len(sandbox.ledger) == 0
    assert await states(ctx, SMS) == {SliceState.WAITING}
    assert await ctx.pool.fetchval("select max(attempt) from delivery") == 1


async def test_neither_the_breaker_nor_its_probe_nor_a_new_configuration_lifts_a_pause(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await told(ctx, mails=2)
    sandbox.faults.add(
        RateLimit(provider=Provider.SENDGRID, kind="rate_limit", retry_after=2, times=1)
    )
    await send_all(ctx)
    assert await halt(ctx, EMAIL)
    clock.move(timedelta(minutes=10))  # the provider's wish is over, and a probe due
    await send_all(ctx)
    async with ctx.pool.acquire() as conn:
        await conn.execute("update sender set configured = not configured")
        await sync_senders(conn, ctx, now=ctx.now(), decide=True)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await ctx.pool.fetchval("select trips from sender where channel = 1") == 1
    # Nor does resuming lift what the provider asked for.
    stopped = ctx.now() + timedelta(seconds=30)
    await ctx.pool.execute("update sender set paused_until = $1 where channel = 1", stopped)
    assert await go_on(ctx, EMAIL)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await ctx.pool.fetchval("select paused_until from sender where channel = 1") == stopped
    clock.move(timedelta(seconds=31))
    await send_all(ctx)
    assert len(sandbox.ledger) == 2


async def test_what_grows_too_old_while_a_channel_is_paused_ends_visibly(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await told(ctx, texts=3)
    other = await post(ctx, update(ctx, incident={"external_id": "INC-2"}))
    await plan_out(ctx, other)
    assert other.dispatch_id is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        await pause(conn, other.dispatch_id, now=ctx.now())
    assert await halt(ctx, SMS)
    clock.move(timedelta(days=30))
    await release_all(ctx)
    first = await ctx.pool.fetchval("select min(id) from dispatch")
    assert (await statuses(ctx, first))["expired"] == 3
    # As without a pause of the channel: what a person holds has no end before they decide.
    assert (await statuses(ctx, other.dispatch_id))["queued"] == 3
    assert len(sandbox.ledger) == 0


async def test_a_channel_goes_on_with_the_most_urgent_and_then_the_newest(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small", email=None)])
    assert await halt(ctx, SMS)
    wanted = []
    for number, severity in enumerate(("P1", "P0", "P1"), start=1):
        incident = {"external_id": f"INC-{number}", "severity": severity}
        accepted = await post(ctx, update(ctx, incident=incident))
        await plan_out(ctx, accepted)
        wanted.append(accepted.update_id)
        assert await release_all(ctx) == []
    await ctx.pool.execute("delete from pgqueuer")
    assert await go_on(ctx, SMS)
    asked = await ctx.pool.fetch("select entrypoint from pgqueuer")
    assert [row["entrypoint"] for row in asked] == ["slices.waiting"]
    order = await first_to_last(ctx)
    assert order == [wanted[1], wanted[2], wanted[0]]
    await send_all(ctx)
    assert len(sandbox.ledger) == 3


async def first_to_last(ctx: Context) -> list[int]:
    """Updates in the order in which their texts get their moment."""
    sender = await ctx.pool.fetchval("select id from sender where channel = 2")
    await release.run(ctx, sender)
    rows = await ctx.pool.fetch(
        "select update_id from slice where channel = 2 and state = 1 order by start_at"
    )
    return [row["update_id"] for row in rows]


async def test_a_pause_with_an_end_ends_by_itself_and_saying_it_twice_is_saying_it_once(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await told(ctx, texts=2)
    until = ctx.now() + timedelta(minutes=1)
    assert [await halt(ctx, SMS, until) for _ in range(2)] == [True, False]
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    clock.move(timedelta(minutes=1))
    await send_all(ctx)
    assert len(sandbox.ledger) == 2
    assert not await go_on(ctx, SMS)
    assert await halt(ctx, SMS)
    assert [await go_on(ctx, SMS) for _ in range(2)] == [True, False]
    with pytest.raises(RefusedError, match="Banners are not sent"):
        await halt(ctx, ChannelKind.BANNER)
