"""Fault 44: one account's crowd fills a channel; whoever is small, or urgent, does not notice."""

from typing import Any

import pytest

from tests.chaos.harness import Product
from tests.chaos.people import body, by_text
from tests.chaos.processes import until
from tests.flow.story import seed

pytestmark = [pytest.mark.timeout(120), pytest.mark.fault(44)]

CROWD = 260
SMALL = 10


async def announce(product: Product, incident: str, accounts: list[str], **more: Any) -> int:
    """Post an update for some accounts only; its number."""
    told = body(
        product.ctx,
        incident={"external_id": incident, **more},
        audience={"account_ids": accounts},
    )
    answer = await product.post("/v1/updates", told, key=incident)
    assert answer.status == 202, answer
    number: int = await product.ctx.pool.fetchval("select max(id) from incident_update")
    return number


async def test_a_crowd_delays_neither_ten_small_accounts_nor_a_p0(product: Product) -> None:
    people = [by_text(number) for number in range(CROWD + SMALL)]
    crowd = [person.model_copy(update={"account": "crowd"}) for person in people[:CROWD]]
    small = [
        person.model_copy(update={"account": f"small-{number}"})
        for number, person in enumerate(people[CROWD:])
    ]
    await seed(product.ctx, crowd + small)
    await product.start_web()
    few = await announce(product, "INC-1", [f"small-{number}" for number in range(SMALL)])
    many = await announce(product, "INC-2", ["crowd"])
    # Meanwhile nothing leaves: on a busy machine what is planned first would have a start.
    await product.ctx.pool.execute("update sender set paused_until = now() + interval '1 hour'")
    workers = await product.start_workers(2)

    async def both_planned() -> bool:
        return await product.count("incident_update where state = 'planned'") == 2

    await until(both_planned, within=30, what="both should be planned", watched=workers)
    await product.ctx.pool.execute("update sender set paused_until = null")
    urgent = 0
    while not urgent:
        if len(await product.providers.ledger()) > CROWD // 10:
            urgent = await announce(product, "INC-3", ["small-1"], severity="P0")
    await product.settle()
    order = [product.key_of(row).update for row in await product.providers.ledger()]
    assert [order.count(update) for update in (few, many, urgent)] == [SMALL, CROWD, 1]
    last_of_few = max(place for place, update in enumerate(order) if update == few)
    told_before = order[:last_of_few].count(many)
    assert told_before <= CROWD // 2, f"ten accounts stood behind {told_before} of the crowd"
    assert order.index(urgent) < len(order) - CROWD // 4
