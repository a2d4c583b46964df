"""Fault 21: a storm of errors; and 42: whoever holds moments of a limited sender is killed."""

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from dispatcher.config import Settings
from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.chaos.policies import TEXTS, WINDOW_S, above_the_limit, impatient
from tests.chaos.processes import until

pytestmark = pytest.mark.timeout(120)

# Five texts in a row, what had left by the fifth answer, and one for each time the sender asks again.
FEW = 20


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    policy = impatient(tmp_path, texts=TEXTS, per_s=WINDOW_S)
    return settings.model_copy(update={"policy_file": policy})


@dataclass(frozen=True, slots=True)
class Stop:
    """How often texts were stopped by then, and how many requests had been answered by the storm."""

    trips: int
    asked: int


async def stopped(product: Product, times: int) -> Stop:
    """Until texts were stopped that often."""

    async def enough() -> bool:
        return await product.count(f"sender where channel = 2 and trips >= {times}") == 1

    await until(enough, within=20, what=f"texts should have been stopped {times} times")
    asked = await product.providers.struck()
    trips = await product.ctx.pool.fetchval("select trips from sender where channel = 2")
    return Stop(trips, asked)


@pytest.mark.fault(21)
async def test_a_storm_leaves_a_handful_in_doubt_and_the_rest_leave_after_it(
    product: Product,
) -> None:
    await crowd(product.ctx, texts=TEXTS)
    await product.providers.misbehave({"provider": "twilio", "kind": "status", "status": 503})
    await product.start_web()
    await product.start_workers(2)
    await product.announce()

    second = await stopped(product, 2)
    third = await stopped(product, 3)
    # Each time it asks again it asks with one text.
    assert third.asked - second.asked <= third.trips - second.trips + 1
    assert third.asked <= FEW
    assert await product.count("sender where paused_why = 'provider_unclear'") == 1
    still_due = await product.ctx.pool.fetchval(
        "select sum(n)::int from slice where state = 0 and not maybe_duplicate and attempt = 1"
    )
    assert still_due >= TEXTS - FEW
    await product.providers.behave()
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (TEXTS, {1})
    resent = await product.ctx.pool.fetchval("select sum(n)::int from slice where maybe_duplicate")
    assert resent <= FEW
    assert await product.count("sender where trips > 0") == 0
    assert await product.statuses() == {"delivered": TEXTS}


@pytest.mark.fault(20, 42)
async def test_a_limit_holds_though_whoever_holds_its_next_moments_is_killed(
    product: Product,
) -> None:
    await crowd(product.ctx, texts=2 * TEXTS)
    await product.start_web()
    holder, _ = await product.start_workers(2)
    await product.announce()

    async def some_left_and_more_have_moments() -> bool:
        left = len(await product.providers.ledger())
        return left > 0 and await product.count("slice where state in (1, 2)") > 0

    await until(some_left_and_more_have_moments, within=20, what="sending", watched=[holder])
    holder.send(signal.SIGKILL)
    await product.start_workers(1)
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (2 * TEXTS, {1})
    assert above_the_limit([row.at for row in await product.providers.ledger()]) == []
