"""Faults 19 to 27: providers that are slow, throttle, fail, break off or refuse; answers late or doubled."""

import asyncio
from pathlib import Path

import pytest

from dispatcher.config import Settings
from segments.records import ContactIn
from tests.chaos.harness import Product
from tests.chaos.people import WITHOUT, body, by_text, crowd
from tests.chaos.policies import impatient
from tests.chaos.processes import until
from tests.flow.story import contact, seed

pytestmark = pytest.mark.timeout(120)

BOTH = ("sendgrid", "twilio")
INCIDENTS = 10


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"policy_file": impatient(tmp_path)})


async def everybody_told_once(product: Product, people: int) -> None:
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (people, {1})
    differences = await product.differences()
    assert differences.total == 0, differences
    assert await product.statuses() == {"delivered": people}


@pytest.mark.fault(27, 29, 30)
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


@pytest.mark.fault(22)
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


@pytest.mark.fault(24)
async def test_of_a_request_that_was_taken_by_half_only_the_other_half_is_sent_again(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=10)
    await product.providers.misbehave(
        {"provider": "sendgrid", "kind": "half_accept", "accept": 4, "times": 1}
    )
    await product.start_web()
    await product.start_workers(2)
    await product.announce()
    await product.settle()
    resent = await product.ctx.pool.fetch("select n from slice where maybe_duplicate")
    assert [row["n"] for row in resent] == [6]
    await everybody_told_once(product, 10)


@pytest.mark.fault(20)
async def test_a_throttled_sender_pauses_and_burns_no_attempt(product: Product) -> None:
    await crowd(product.ctx, mails=5, texts=30)
    await product.providers.misbehave(
        {"provider": "sendgrid", "kind": "rate_limit", "times": 1, "retry_after": 1},
        {"provider": "twilio", "kind": "rate_limit", "times": 2},
    )
    await product.start_web()
    await product.start_workers(2)
    await product.announce()
    await product.settle()
    assert await product.count("sender where paused_why = 'throttled' and trips = 0") == 2
    assert await product.count("delivery where attempt > 1") == 0
    await everybody_told_once(product, 35)


@pytest.mark.fault(19, 25)
async def test_a_provider_that_hangs_delays_no_other_and_is_cut_off(product: Product) -> None:
    await crowd(product.ctx, mails=1, texts=1)
    await product.providers.misbehave({"provider": "twilio", "kind": "slow", "seconds": 60})
    await product.start_web()
    await product.start_workers(1, {"TWILIO__TIMEOUT_S": 4})
    # More texts than one consumer takes on at a time.
    for number in range(INCIDENTS):
        incident = {"external_id": f"INC-{number}", "severity": "P0"}
        told = body(product.ctx, incident=incident)
        assert (await product.post("/v1/updates", told, key=f"{number}")).status == 202

    async def all_mails_are_delivered() -> bool:
        return (await product.statuses()).get("delivered", 0) == INCIDENTS

    await until(all_mails_are_delivered, within=20, what="the mails should have arrived")
    assert await product.count("slice where channel = 2 and state = 2") > 0
    assert await product.count("slice where ambiguous_at is not null") == 0
    await product.providers.behave()
    await product.settle()
    await everybody_told_once(product, 2 * INCIDENTS)
    assert await product.count("slice where maybe_duplicate and channel = 2") > 0


@pytest.mark.fault(23)
async def test_what_is_refused_for_good_is_final_and_bad_numbers_are_never_used_again(
    product: Product,
) -> None:
    await seed(product.ctx, [by_text(0), *(refused(number) for number in REFUSED)])
    await product.start_web()
    await product.start_workers(1)
    await product.announce()
    await product.settle()
    assert await product.statuses() == {"delivered": 1, "failed": len(REFUSED)}
    assert await product.count("delivery where attempt > 1") == 0
    assert await product.count("suppression") == 3
    newer = {"status": "identified", "facts": {"impact": "Cards fail."}}
    answer = await product.post("/v1/updates", body(product.ctx, **newer), key="alert-2")
    assert answer.status == 202, answer
    await product.settle()
    assert (await product.statuses())["suppressed"] == 3
    assert await product.count("delivery where attempt > 1") == 0


# Opted out (21610), invalid (21211), no mobile (21614), not reachable by the provider (21612).
REFUSED = ("0004", "0001", "0009", "0002")


def refused(line: str) -> ContactIn:
    """Somebody whose number the provider refuses, each for a reason of its own."""
    consent = {"granted": True, "source": "contract", "wording": "texts about incidents"}
    fields = {**WITHOUT, "phone": f"+1500555{line}", "sms_consent": consent}
    return contact(2_000 + int(line), "small", **fields)
