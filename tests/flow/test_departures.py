"""Nothing leaves faster than the limit allows, whatever held it up: the provider's ledger is the judge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from dispatcher.app import running
from dispatcher.clock import SystemClock
from dispatcher.config import Settings
from dispatcher.context import Context, Departures
from dispatcher.rules.policy import default_policy_text
from dispatcher.rules.punctuality import LATE
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.senders import sync_senders
from dispatcher.stages import send
from tests.chaos.people import crowd
from tests.flow.story import eventually, plan_out, post, release_all, update
from tests.races.moments import open_transaction

LIMIT, WINDOW_S = 10, 2
TEXTS = 14
SENDER = 1


@pytest.fixture
async def real_time(product_settings: Settings, tmp_path: Path) -> AsyncIterator[Context]:
    """A running product on the machine's clock that may send ten texts in two seconds."""
    policy = tmp_path / "policy.toml"
    shipped = "[sender.sms]\nlimits = [{ count = 100, per = "
    assert shipped in default_policy_text()
    slow = f'[sender.sms]\nlimits = [{{ count = {LIMIT}, per = "{WINDOW_S}s" }}]\n#'
    policy.write_text(default_policy_text().replace(shipped, slow))
    settings = product_settings.model_copy(update={"policy_file": policy})
    async with running(settings, SystemClock()) as context:
        async with context.pool.acquire() as conn:
            await sync_senders(conn, context, now=context.now(), decide=True)
        yield context


async def send_whatever_is_released(ctx: Context) -> None:
    """What the consumers do: every released slice at once, again when it was given back."""
    busy: dict[int, asyncio.Task[None]] = {}
    try:
        while True:
            for slice_id in await release_all(ctx):
                if slice_id not in busy or busy[slice_id].done():
                    busy[slice_id] = asyncio.create_task(send.run(ctx, slice_id))
            await asyncio.sleep(0.02)
    finally:
        for task in busy.values():
            task.cancel()
        await asyncio.gather(*busy.values(), return_exceptions=True)


async def test_slices_that_were_held_up_together_do_not_leave_together(
    real_time: Context, sandbox: RunningSandbox
) -> None:
    ctx = real_time
    await crowd(ctx, texts=TEXTS)
    accepted = await post(ctx, update(ctx, incident={"severity": "P0"}))
    await plan_out(ctx, accepted)
    assert await ctx.pool.fetchval("select count(*) from slice where state = 0") >= 3
    consumers = asyncio.create_task(send_whatever_is_released(ctx))
    try:
        async with open_transaction(ctx) as conn:
            await conn.execute("select from dispatch for update")
            await asyncio.sleep(1.5)
            assert len(sandbox.ledger) == 0

        async def all_there() -> bool:
            assert not consumers.done()
            return sandbox.ledger.accepted[Provider.TWILIO] >= TEXTS

        await eventually(all_there, within=60, what="sending")
    finally:
        consumers.cancel()
        with suppress(asyncio.CancelledError):
            await consumers
    times = sorted(entry.at for entry in sandbox.ledger.entries(Provider.TWILIO))
    assert len(times) == TEXTS
    assert all(
        later - earlier >= WINDOW_S for earlier, later in zip(times, times[LIMIT:], strict=False)
    )


class FastClock(SystemClock):
    """Time passes only in sleeps, and each may take longer than asked."""

    def __init__(self, *, overshoot: float) -> None:
        self.passed = 0.0
        self._overshoot = overshoot

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        if seconds > 0:
            self.passed += seconds + self._overshoot


async def departures(clock: FastClock, *, slices: int, units: int, span: float) -> list[float]:
    """When the units of slices that want to leave at the same time do leave."""
    pace, left = Departures(), list[float]()

    async def one() -> None:
        for _ in range(units):
            await pace.turn(clock, SENDER, span)
            left.append(clock.passed)

    await asyncio.gather(*(one() for _ in range(slices)))
    return left


async def test_slices_of_one_sender_share_its_spacing() -> None:
    left = await departures(FastClock(overshoot=0), slices=3, units=4, span=0.5)
    assert left == pytest.approx([place * 0.5 for place in range(12)])


async def test_small_delays_are_made_up_for_and_great_ones_are_not() -> None:
    small = await departures(FastClock(overshoot=0.001), slices=1, units=100, span=0.5)
    assert small[-1] == pytest.approx(99 * 0.5, abs=0.002)
    late = LATE.total_seconds()
    great = await departures(FastClock(overshoot=1.0), slices=1, units=10, span=0.5)
    assert all(b - a >= 0.5 - late for a, b in pairwise(great))


async def test_senders_do_not_wait_for_each_other() -> None:
    clock, pace = FastClock(overshoot=0), Departures()
    await pace.turn(clock, 1, 100.0)
    await pace.turn(clock, 2, 100.0)
    assert clock.passed == 0
