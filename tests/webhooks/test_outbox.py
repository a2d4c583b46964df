"""What was committed is told to who asked for it; what was rolled back never was."""

import asyncio
from typing import Any

import pytest

from dispatcher.announce import (
    BODY_LIMIT,
    MOST_COMPONENTS,
    SUBSCRIBABLE,
    DispatchCompleted,
    EventType,
    SourceError,
    UpdatePublished,
    WebhookTest,
    announce,
    body_of,
    stored,
    wanted,
)
from dispatcher.clocks.webhooks import wake_webhooks
from dispatcher.context import Context
from dispatcher.rules.states import Shown
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks.message import outside
from tests.webhooks.hooks import hook, jobs, log_of, tell, trouble
from tests.webhooks.receiver import Receiver


async def test_nothing_is_kept_of_what_nobody_asked_for(ctx: Context, receiver: Receiver) -> None:
    other = await hook(ctx, receiver, EventType.UPDATE_PUBLISHED)
    off = await hook(ctx, receiver)
    await ctx.pool.execute(
        "update webhook_endpoint set disabled_at = now(), disabled_why = 'person' where id = $1",
        off.id,
    )
    async with ctx.pool.acquire() as conn:
        assert await wanted(conn) == {EventType.UPDATE_PUBLISHED}
    await tell(ctx)
    assert await log_of(ctx, other) == await log_of(ctx, off) == []
    assert await ctx.pool.fetchval("select count(*) from webhook_event") == 0
    assert await jobs(ctx) == []


async def test_what_is_rolled_back_is_told_nobody_and_what_is_committed_all_who_asked(
    ctx: Context, receiver: Receiver
) -> None:
    one = await hook(ctx, receiver)
    two = await hook(ctx, receiver, EventType.SOURCE_ERROR)
    async with ctx.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await announce(conn, EventType.SOURCE_ERROR, trouble(), now=ctx.now())
        await transaction.rollback()
    assert await log_of(ctx, one) == []
    assert await jobs(ctx) == []
    await tell(ctx)
    (first,), (second,) = await log_of(ctx, one), await log_of(ctx, two)
    assert first.event_id == second.event_id
    await wake_webhooks(ctx)
    assert sorted(await jobs(ctx)) == [("webhook.due", one.id), ("webhook.due", two.id)]
    await webhooks.run(ctx, one.id)
    (got,) = receiver.got
    assert got.json["type"] == "source.error"
    assert (
        got.json["data"].items()
        >= {
            "source_id": ctx.signer.public_id("src", 1),
            "name": "pd",
            "kind": "pagerduty",
            "error": "malformed",
            "detail": "number 1",
        }.items()
    )


async def test_an_endpoint_that_is_removed_while_it_is_told_stands_in_nobodys_way(
    ctx: Context, receiver: Receiver
) -> None:
    """An approval, or a request of a sender, would be undone by it, or wait for a month of its log."""
    stays, goes = await hook(ctx, receiver), await hook(ctx, receiver)
    async with ctx.pool.acquire() as conn, conn.transaction():
        assert await webhooks.remove(conn, goes.id)
        async with asyncio.timeout(10):
            await tell(ctx)
    assert len(await log_of(ctx, stays)) == 1


async def test_who_tells_waits_for_nobody_else_who_tells(ctx: Context, receiver: Receiver) -> None:
    """A process may be frozen in its transaction; another one's approval is not to stand still."""
    endpoint = await hook(ctx, receiver)
    async with ctx.pool.acquire() as conn, conn.transaction():
        await announce(conn, EventType.SOURCE_ERROR, trouble(1), now=ctx.now())
        async with asyncio.timeout(10):
            await tell(ctx, 2)
    assert len(await log_of(ctx, endpoint)) == 2


async def test_an_event_is_told_with_the_data_of_its_type(ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        with pytest.raises(TypeError):
            await announce(conn, EventType.UPDATE_PUBLISHED, trouble(), now=ctx.now())


def test_the_test_button_is_nothing_to_ask_for() -> None:
    assert set(EventType) - set(SUBSCRIBABLE) == {EventType.WEBHOOK_TEST}


def longest(ctx: Context) -> list[UpdatePublished | DispatchCompleted | SourceError | WebhookTest]:
    """Of each type, what takes most bytes; `delivery.failed` is cut to size where it is made."""
    wide, now = "\U0001f600", ctx.now()
    ids: dict[str, Any] = {"incident_id": 2**62, "update_id": 2**62, "dispatch_id": 2**62}
    named: dict[str, Any] = {"source": wide * 200, "external_id": wide * 200}
    return [
        UpdatePublished(
            **ids,
            **named,
            revision=2**31,
            kind="acknowledgement",
            status="investigating",
            severity="planned",
            visibility="customers",
            title=wide * 255,
            impact=wide * 1000,
            component_ids=(wide * 200,) * MOST_COMPONENTS,
            next_update_by=now,
        ),
        DispatchCompleted(
            **ids,
            **named,
            outcome="cancelled",
            started_at=now,
            ended_at=now,
            total=2**31,
            deliveries={item.word: 2**31 for item in Shown},
            report_url=2**62,
        ),
        SourceError(
            source_id=2**62, name=wide * 200, kind="k" * 50, error="e" * 50, detail="\x01" * 500
        ),
        WebhookTest(),
    ]


async def test_the_longest_body_is_below_what_receivers_take(ctx: Context) -> None:
    types = [item for item in EventType if item is not EventType.DELIVERY_FAILED]
    for kind, data in zip(types, longest(ctx), strict=True):
        body = body_of(kind, stored(data), at=ctx.now(), outside=outside(ctx))
        assert len(body) < BODY_LIMIT, kind
