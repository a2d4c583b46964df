"""A provider that hangs holds what is its own: its room, its connections, nothing of another's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from channels.model import Accepted, ChannelKind, Message, Recipient
from dispatcher.app import CONNECTIONS_PER_PROVIDER
from dispatcher.config import Settings
from dispatcher.context import MOST_UNDER_WAY, Context
from dispatcher.sandbox import Provider, RunningSandbox, SandboxSettings, start
from dispatcher.sandbox.faults import Slow
from dispatcher.stages import send
from tests.chaos.people import crowd
from tests.chaos.policies import impatient
from tests.flow.story import eventually, plan_out, post, release_all, update

pytestmark = pytest.mark.fault(19)

TEXTS = 2 * MOST_UNDER_WAY


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """Providers that take a while, and a Twilio that throttles whoever has too many requests open."""
    running = await start(
        SandboxSettings(
            port=0,
            latency=1.0,
            latency_jitter=0,
            deferred=0,
            bounced=0,
            twilio_concurrency=MOST_UNDER_WAY,
        )
    )
    yield running
    await running.stop()


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    policy = impatient(tmp_path, texts=10_000)
    return settings.model_copy(update={"policy_file": policy})


@pytest.fixture
def product_settings(product_settings: Settings) -> Settings:
    """Texts may hang for as long as the test takes."""
    patient = product_settings.twilio.model_copy(update={"timeout_s": 40})
    return product_settings.model_copy(update={"twilio": patient})


async def test_no_more_texts_are_under_way_than_a_provider_answers_at_once(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await crowd(ctx, texts=TEXTS)
    await plan_out(ctx, await post(ctx, update(ctx)))
    await asyncio.gather(*(send.run(ctx, slice_id) for slice_id in await release_all(ctx)))
    assert sandbox.ledger.accepted[Provider.TWILIO] == TEXTS
    assert await ctx.pool.fetchval("select count(*) from sender where trips > 0") == 0


def message(parts: dict[str, str], key: str, address: str) -> Message:
    return Message(
        request_id="rq",
        sender="status@example.com" if "html" in parts else "+12125550199",
        parts=parts,
        recipients=[Recipient(key=key, address=address)],
    )


async def test_a_provider_that_holds_all_its_connections_takes_none_of_anothers(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    switch = sandbox.faults.add(Slow(provider=Provider.TWILIO, kind="slow", seconds=60))
    text = message({"text": "API errors"}, "k", "+12125550100")
    hanging = [
        asyncio.create_task(ctx.channels[ChannelKind.SMS].send(text))
        for _ in range(CONNECTIONS_PER_PROVIDER)
    ]

    async def all_hang() -> bool:
        return switch.struck == CONNECTIONS_PER_PROVIDER

    try:
        await eventually(all_hang, what="hanging of all")
        mail = message({"subject": "s", "text": "t", "html": "<p>t</p>"}, "m", "ada@example.com")
        (answer,) = await ctx.channels[ChannelKind.EMAIL].send(mail)
        assert isinstance(answer, Accepted)
        assert not any(task.done() for task in hanging)
    finally:
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
