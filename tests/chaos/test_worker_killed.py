"""Faults 2 and 3: a worker is killed with a slice in its hands; two others must bring it to an end."""

import signal

import pytest

from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.chaos.processes import Process

pytestmark = pytest.mark.timeout(120)


async def dead_worker(product: Product, failpoint: str) -> Process:
    """A worker that has got as far as `failpoint` and no farther."""
    await product.start_web()
    worker = product.worker({failpoint: "kill"})
    await product.announce()
    assert await worker.wait(within=60) == -signal.SIGKILL
    return worker


async def nobody_told_twice(product: Product, people: int) -> None:
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (people, {1})
    differences = await product.differences()
    assert (differences.total, differences.unconfirmed) == (0, 0), differences


async def test_a_slice_that_was_claimed_and_never_begun_is_simply_sent_by_another(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4)
    await dead_worker(product, "send.after_claim")
    await product.start_workers(2)
    await product.settle()
    await nobody_told_twice(product, 4)
    assert await product.count("slice where ambiguous_at is not null") == 0
    assert await product.statuses() == {"delivered": 4}


@pytest.mark.parametrize("channel", ["mails", "texts"])
async def test_what_was_intended_and_never_sent_is_resent_once_and_flagged(
    product: Product, channel: str
) -> None:
    await crowd(product.ctx, **{channel: 4})
    await dead_worker(product, "send.after_intent")
    assert await product.providers.ledger() == []
    await product.start_workers(2)
    await product.settle()
    await nobody_told_twice(product, 4)
    assert await product.count("slice where ambiguous_at is not null") == 1
    assert await product.count("slice where maybe_duplicate and n = 4") == 1
    assert await product.statuses() == {"delivered": 4}


async def test_mails_that_left_before_the_record_are_settled_by_their_receipts(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4)
    await dead_worker(product, "send.before_record")
    assert len(await product.providers.ledger()) == 4
    await product.start_workers(2)
    await product.settle()
    await nobody_told_twice(product, 4)
    assert await product.count("slice where maybe_duplicate") == 0
    assert await product.statuses() == {"delivered": 4}


async def test_texts_that_left_before_the_record_are_settled_and_only_the_others_are_sent(
    product: Product,
) -> None:
    await crowd(product.ctx, texts=30)
    await dead_worker(product, "send.after_one")
    left = await product.acceptances()
    assert len(left) >= 1
    await product.start_workers(2)
    await product.settle()
    await nobody_told_twice(product, 30)
    resent = await product.ctx.pool.fetchval(
        "select coalesce(sum(n), 0)::int from slice where maybe_duplicate"
    )
    assert resent == 30 - len(left)
    assert await product.statuses() == {"delivered": 30}


async def test_a_plan_killed_between_two_ranges_goes_on_where_it_stopped(product: Product) -> None:
    await crowd(product.ctx, mails=3)
    # The next contacts lie in the second range of contact numbers.
    await product.ctx.pool.execute("select setval(pg_get_serial_sequence('contact', 'id'), 25000)")
    await crowd(product.ctx, mails=6)
    await dead_worker(product, "plan.after_range")
    assert await product.count("delivery where address_id is not null") == 3
    assert await product.count("dispatch where state = 'planning'") == 1
    await product.start_workers(2)
    await product.settle()
    await nobody_told_twice(product, 6)
