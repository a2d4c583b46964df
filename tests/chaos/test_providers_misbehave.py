"""Fault 4 and its kin: answers and receipts late, lost, doubled, in any order."""

import asyncio

import pytest

from tests.chaos.harness import Product
from tests.chaos.people import crowd

pytestmark = pytest.mark.timeout(120)

BOTH = ("sendgrid", "twilio")


async def everybody_told_once(product: Product, people: int) -> None:
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (people, {1})
    differences = await product.differences()
    assert differences.total == 0, differences
    assert await product.statuses() == {"delivered": people}


async def test_receipts_that_overtake_the_answer_stand_when_it_comes(product: Product) -> None:
    await crowd(product.ctx, mails=5, texts=5)
    for provider in BOTH:
        await product.providers.misbehave(
            {"provider": provider, "kind": "receipt_first"},
            {"provider": provider, "kind": "receipts_duplicated", "copies": 3},
            {"provider": provider, "kind": "receipts_reordered"},
            {"provider": provider, "kind": "slow", "seconds": 0.3},
        )
    await product.start_web()
    await product.start_workers(2)
    await product.announce()
    settling = asyncio.create_task(product.settle())
    delivered = [0]
    while not settling.done():
        delivered.append((await product.statuses()).get("delivered", 0))
        await asyncio.sleep(0.02)
    await settling
    assert delivered == sorted(delivered)
    await everybody_told_once(product, 10)


async def test_a_connection_reset_after_the_provider_took_it_is_settled_by_evidence(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=5, texts=5)
    for provider in BOTH:
        await product.providers.misbehave({"provider": provider, "kind": "accept_then_reset"})
    await product.start_web()
    await product.start_workers(2)
    await product.announce()
    await product.settle()
    assert await product.count("slice where ambiguous_at is not null") == 2
    assert await product.count("slice where maybe_duplicate") == 0
    await everybody_told_once(product, 10)


async def test_a_throttled_sender_pauses_and_costs_nobody_an_attempt(product: Product) -> None:
    await crowd(product.ctx, mails=5, texts=250)
    await product.providers.misbehave(
        *({"provider": name, "kind": "rate_limit", "times": 1, "retry_after": 1} for name in BOTH)
    )
    await product.start_web()
    await product.start_workers(2)
    await product.announce()
    await product.settle()
    assert await product.count("sender where paused_why = 'throttled'") == 2
    assert await product.count("delivery where attempt > 1") == 0
    await everybody_told_once(product, 255)
