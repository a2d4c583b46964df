"""A worker is killed with work in its hands; others must bring it to an end."""

import signal

import pytest

from tests.chaos.harness import Product
from tests.chaos.people import body, crowd
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


@pytest.mark.fault(5)
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


@pytest.mark.fault(6)
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


@pytest.mark.fault(7)
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


@pytest.mark.fault(7)
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


@pytest.mark.fault(4)
async def test_a_plan_killed_before_between_and_after_its_ranges_goes_on_where_it_stopped(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, mails=3)
    # The next contacts lie in the second range of contact numbers.
    await hurried.ctx.pool.execute("select setval(pg_get_serial_sequence('contact', 'id'), 25000)")
    await crowd(hurried.ctx, mails=6)
    await dead_worker(hurried, "plan.before_commit")
    assert await hurried.count("delivery where address_id is not null") == 0
    for failpoint, planned in (("plan.after_range", 3), ("plan.between_ranges", 6)):
        worker = hurried.worker({failpoint: "kill"})
        assert await worker.wait(within=30) == -signal.SIGKILL
        assert await hurried.count("delivery where address_id is not null") == planned
        assert await hurried.count("dispatch where state = 'planning'") == 1
    await hurried.start_workers(1)
    await hurried.settle()
    await nobody_told_twice(hurried, 6)


@pytest.mark.fault(6)
async def test_what_is_not_urgent_and_may_have_left_is_left_to_people(hurried: Product) -> None:
    await crowd(hurried.ctx, mails=4)
    await hurried.start_web()
    worker = hurried.worker({"send.after_intent": "kill"})
    await hurried.announce(incident={"severity": "P2"})
    assert await worker.wait(within=30) == -signal.SIGKILL
    await hurried.start_workers(1)
    await hurried.settle()
    assert await hurried.providers.ledger() == []
    assert await hurried.statuses() == {"unconfirmed": 4}
    assert (await hurried.differences()).total == 0


@pytest.mark.fault(7, 8)
async def test_counts_agree_with_rows_wherever_the_record_or_the_roll_up_was_killed(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, mails=4, texts=4)
    await dead_worker(hurried, "record.before_commit")
    for failpoint in ("record.after_commit", "report.before_store", "track.before_commit"):
        posted = body(hurried.ctx, incident={"external_id": failpoint})
        assert (await hurried.post("/v1/updates", posted, key=failpoint)).status == 202
        worker = hurried.worker({failpoint: "kill"})
        assert await worker.wait(within=30) == -signal.SIGKILL
    await hurried.start_workers(2)
    await hurried.settle()
    told = await hurried.acceptances()
    assert len(told) == 32
    differences = await hurried.differences()
    assert (differences.total, differences.unconfirmed) == (0, 0), differences
    assert await hurried.statuses() == {"delivered": 32}
