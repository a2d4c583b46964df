"""Fault 38: too much at once is refused at the door, or taken in and told; who is urgent does not wait."""

import asyncio
import io

import pytest

from tests.chaos.harness import Answer, Product
from tests.chaos.people import body, by_mail
from tests.flow.story import seed

pytestmark = [pytest.mark.timeout(120), pytest.mark.fault(38)]

CROWD = 1_000
AT_ONCE = 50


async def announce(
    product: Product, incident: str, account: str, *, severity: str = "P2", long: str = ""
) -> Answer:
    told = body(
        product.ctx,
        incident={"external_id": incident, "severity": severity},
        audience={"account_ids": [account]},
    )
    if long:
        told["facts"]["impact"] = long
    return await product.post("/v1/updates", told, key=incident)


async def refused_for_its_size(product: Product, raw: bytes) -> int:
    """The status of an answer to so many bytes of what may be an update."""
    headers = {
        "Authorization": f"Bearer {product.key}",
        "Idempotency-Key": "INC-HUGE",
        "Content-Type": "application/json",
    }
    url = f"http://127.0.0.1:{product.port}/v1/updates"
    async with product.http.post(url, data=io.BytesIO(raw), headers=headers) as answer:
        return answer.status


async def test_a_huge_update_fifty_at_once_and_a_p0_behind_them_are_all_taken_in_and_told(
    product: Product,
) -> None:
    people = [by_mail(number) for number in range(CROWD + AT_ONCE)]
    crowd = [person.model_copy(update={"account": "crowd"}) for person in people[:CROWD]]
    others = [
        person.model_copy(update={"account": f"small-{number}"})
        for number, person in enumerate(people[CROWD:])
    ]
    await seed(product.ctx, crowd + others)
    await product.start_web()
    long = "word " * 60_000
    refused = await announce(product, "INC-LONG", "crowd", long=long)
    assert refused.status == 422
    assert "impact" in str(refused.body["errors"])
    assert await refused_for_its_size(product, long.encode() * 10) == 413
    assert await product.count("incident_update") == 0
    await announce(product, "INC-CROWD", "crowd")
    answers = await asyncio.gather(
        *(announce(product, f"INC-{number}", f"small-{number}") for number in range(AT_ONCE))
    )
    assert {answer.status for answer in answers} == {202}
    await product.start_workers(2)
    urgent = await announce(product, "INC-P0", "small-7", severity="P0")
    assert urgent.status == 202
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (CROWD + AT_ONCE + 1, {1})
    assert (await product.differences()).total == 0
