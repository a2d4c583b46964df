"""Somebody pauses a channel in the middle of a fan-out: what has not left stays, whoever restarts meanwhile."""

import pytest

from tests.chaos.harness import Product
from tests.chaos.people import body, crowd
from tests.chaos.processes import until

pytestmark = pytest.mark.timeout(120)

TEXTS = 160
SMS = "/v1/channels/sms"


async def test_pausing_in_the_middle_of_a_fan_out_stops_it_and_the_urgent_leaves_first_afterwards(
    product: Product,
) -> None:
    await crowd(product.ctx, texts=TEXTS)
    await product.start_web()
    workers = await product.start_workers(2)
    await product.announce()

    async def in_the_middle() -> bool:
        return len(await product.providers.ledger()) > TEXTS // 10

    await until(in_the_middle, within=40, what="some should leave", watched=workers)
    paused = await product.post(f"{SMS}/pause", {"reason": "Texts name the wrong product"})
    assert (paused.status, paused.body["health"]) == (200, "paused")
    assert paused.body["waiting"] > 0

    async def at_rest() -> bool:
        return await product.count("slice where state in (1, 2)") == 0

    await until(at_rest, within=5, what="what is on its way should arrive", watched=workers)
    left = len(await product.providers.ledger())
    assert left + paused.body["waiting"] <= TEXTS

    # Whoever starts now has never heard of a pause but from the database.
    workers[0].kill()
    await product.start_workers(1)
    urgent = body(product.ctx, incident={"external_id": "INC-2", "severity": "P0"})
    assert (await product.post("/v1/updates", urgent, key="alert-2")).status == 202

    async def planned() -> bool:
        return await product.count("incident_update where state = 'planned'") == 2

    await until(planned, within=20, what="it should be planned")
    now = await product.ctx.pool.fetchval("select clock_timestamp()")

    async def ticks() -> bool:
        """Each worker had its turns to release since."""
        return await product.count(f"worker where seen_at > '{now}'::timestamptz + '1.5 s'") >= 2

    await until(ticks, within=20, what="workers should live on")
    assert len(await product.providers.ledger()) == left

    assert (await product.post(f"{SMS}/resume")).body["pause"] is None
    await product.settle()
    order = [product.key_of(row).update for row in await product.providers.ledger()]
    first, second = sorted(set(order))
    assert order[:left] == [first] * left
    # The flow keeps a tenth for lower lanes.
    assert order[left : left + TEXTS].count(second) > TEXTS // 2
    assert set((await product.acceptances()).values()) == {1}
    assert (await product.differences()).total == 0
    assert await product.statuses() == {"delivered": 2 * TEXTS}
