"""Receipts that come early, twice, late, for nobody, damaged or forged: what is known only ever grows."""

import asyncio
import base64
from collections import Counter
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from dispatcher.rules.states import Purpose
from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.chaos.processes import until
from tests.chaos.providers import QUIET_LUCK

pytestmark = pytest.mark.timeout(120)

PATH = "/v1/receipts/sendgrid"
YESTERDAY = "1763800000"
BOTH = ("sendgrid", "twilio")


def events(*keys: str, event: str = "delivered", serial: str = "m1") -> bytes:
    """What SendGrid would post: one event for each key; `serial` makes its ids."""
    made = [
        {
            "event": event,
            "tidings": key,
            "timestamp": int(YESTERDAY),
            "sg_message_id": f"{serial}.x",
            "sg_event_id": f"{serial}-{number}",
        }
        for number, key in enumerate(keys)
    ]
    return orjson.dumps(made)


async def call_back(product: Product, body: bytes, signed: bytes | None = None) -> int:
    """Post a body with SendGrid's signature of it, or of something else; the status of the answer."""
    payload = YESTERDAY.encode() + (body if signed is None else signed)
    signature = QUIET_LUCK.signing_key.sign(payload, ec.ECDSA(hashes.SHA256()))
    headers = {
        "Content-Type": "application/json",
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": YESTERDAY,
    }
    url = f"http://127.0.0.1:{product.port}{PATH}"
    async with product.http.post(url, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def mail_keys(product: Product) -> list[str]:
    """Of every mail that was accepted, what its receipts carry."""
    return [row.key for row in await product.providers.ledger() if row.provider == "sendgrid"]


@pytest.mark.fault(27, 29, 30)
async def test_receipts_before_the_answer_46_times_and_backwards_move_nothing_back(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, mails=8, texts=8)
    for provider in BOTH:
        await hurried.providers.misbehave(
            {"provider": provider, "kind": "receipt_first"},
            {"provider": provider, "kind": "receipts_duplicated", "copies": 46},
            {"provider": provider, "kind": "receipts_reordered"},
        )
    await hurried.start_web()
    await hurried.start_workers(1)
    await hurried.announce()
    settling = asyncio.create_task(hurried.settle())
    seen = [0]
    while not settling.done():
        seen.append((await hurried.statuses()).get("delivered", 0))
        await asyncio.sleep(0.02)
    await settling
    assert seen == sorted(seen)
    told = await hurried.acceptances()
    assert (len(told), set(told.values())) == (16, {1})
    assert (await hurried.differences()).total == 0
    assert await hurried.statuses() == {"delivered": 16}
    assert await hurried.count("slice where ambiguous_at is not null") == 0
    assert await hurried.count("receipt") > 16 * 40


@pytest.mark.fault(28, 31)
async def test_receipts_that_are_forged_damaged_old_or_for_nobody_change_nothing_and_are_answered(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, mails=4)
    await hurried.start_web()
    (worker,) = await hurried.start_workers(1)
    await hurried.announce()
    await hurried.settle()
    keys = await mail_keys(hurried)
    before = await facts(hurried)

    bounced = events(*keys, event="dropped")
    assert await call_back(hurried, bounced, signed=b"[]") == 403
    assert await call_back(hurried, bounced[: len(bounced) // 2]) == 400
    assert await call_back(hurried, b"", signed=bounced) == 403
    for serial in ("m1", "m1", "m2"):
        assert await call_back(hurried, events(*keys, serial=serial)) == 204
    strange = hurried.ctx.signer.read_delivery_key(keys[0])._replace(purpose=Purpose.REPORT)
    nobody = hurried.ctx.signer.delivery_key(strange)
    assert await call_back(hurried, events(nobody, keys[0])) == 204

    async def parked() -> bool:
        return await hurried.count("parked_receipt") == 1

    async def dead_lettered() -> bool:
        return await hurried.count("receipt where not matched") == 1

    await until(parked, within=20, what="the receipt for nobody should be parked", watched=[worker])
    await until(dead_lettered, within=20, what="it should be dead-lettered", watched=[worker])
    assert await hurried.count("parked_receipt") == 0
    await hurried.settle()
    assert await facts(hurried) == before
    assert await hurried.statuses() == {"delivered": 4}
    assert (await hurried.differences()).total == 0


async def facts(product: Product) -> Counter[tuple[Any, ...]]:
    """State and evidence of all deliveries."""
    rows = await product.ctx.pool.fetch("select state, reason, evidence, attempt from delivery")
    return Counter(tuple(row) for row in rows)


@pytest.mark.fault(29)
async def test_a_receipt_that_was_answered_is_kept_though_web_dies_at_once_and_asked_for_if_not(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, mails=4)
    await hurried.providers.misbehave(
        {"provider": "sendgrid", "kind": "receipts_duplicated", "copies": 2}
    )
    dying = [await hurried.start_web({"receipts.before_store": "kill"})]
    await hurried.start_workers(1)
    await hurried.announce()
    await dying[0].wait(within=30)
    assert await hurried.statuses() != {"delivered": 4}
    dying.append(await hurried.start_web({"receipts.after_store": "kill"}))
    await dying[1].wait(within=30)
    await hurried.start_web()
    await hurried.settle()
    assert await hurried.statuses() == {"delivered": 4}
    assert (await hurried.differences()).total == 0
