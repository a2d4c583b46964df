"""Faults 14 and 33: web has no connection left, or no database. Callbacks are kept or refused, not lost."""

import asyncio

import aiohttp
import orjson
import pytest

from channels.model import ChannelKind
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Purpose
from tests.chaos.harness import Product
from tests.chaos.people import body, crowd
from tests.chaos.processes import Process, until
from tests.chaos.proxy import link_to
from tests.chaos.test_database_link import behind
from tests.web.signing import PUBLIC_KEY, sendgrid_headers

pytestmark = pytest.mark.timeout(120)

POOL_MAX = 5
PLACE = "/v1/receipts/sendgrid"


async def call_back(product: Product) -> aiohttp.ClientResponse:
    """A signed callback about a mail, as the provider would post it."""
    key = DeliveryKey(1, ChannelKind.EMAIL.code, 1, Purpose.NOTICE, 1)
    event = {
        "event": "delivered",
        "tidings": product.ctx.signer.delivery_key(key),
        "timestamp": 1763800000,
        "sg_message_id": "m1.x",
    }
    raw = orjson.dumps([event])
    url = f"http://127.0.0.1:{product.port}{PLACE}"
    async with product.http.post(url, data=raw, headers=sendgrid_headers(raw)) as answer:
        await answer.read()
    return answer


def answers_to(web: Process, route: str) -> list[int]:
    """The status of every answer web has given on a route, in order."""
    lines = [orjson.loads(line) for line in web.log.read_bytes().splitlines()]
    return [line["status"] for line in lines if line.get("route") == route]


@pytest.mark.fault(14)
async def test_callbacks_are_kept_while_every_other_request_waits_for_a_connection(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=1)
    await product.start_web(more={"SENDGRID__WEBHOOK_PUBLIC_KEY": PUBLIC_KEY})
    async with product.ctx.pool.acquire() as conn:
        locked = conn.transaction()
        await locked.start()
        await conn.execute("lock table incident in access exclusive mode")
        holding = [
            asyncio.create_task(product.post("/v1/updates", body(product.ctx), key=f"alert-{n}"))
            for n in range(POOL_MAX)
        ]

        async def all_held() -> bool:
            return (
                await product.count("pg_stat_activity where wait_event_type = 'Lock'") == POOL_MAX
            )

        await until(all_held, within=20, what="every connection of web should be held")
        assert (await call_back(product)).status == 204
        assert await product.count("receipt_batch") == 1
        more = await product.post("/v1/updates", body(product.ctx), key="alert-more")
        assert more.status == 503, more
        assert more.retry_after > 0
        assert (await call_back(product)).status == 204
        await locked.rollback()
    assert {answer.status for answer in await asyncio.gather(*holding)} == {202}
    assert (await product.post("/v1/updates", body(product.ctx), key="alert-more")).status == 202


@pytest.mark.fault(33)
async def test_callbacks_that_cannot_be_stored_are_refused_and_stored_when_the_provider_repeats_them(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4)
    async with link_to(product.ctx.dsn) as link:
        web = await product.start_web(more=behind(link))
        await product.announce()
        link.freeze()
        await product.start_workers(1)

        async def refused() -> bool:
            return len(answers_to(web, "/v1/receipts/{provider}")) > 0

        await until(refused, within=20, what="callbacks should come and be answered")
        link.lose()
        told_off = answers_to(web, "/v1/receipts/{provider}")
        assert set(told_off) == {503}
        await product.settle()
    assert set(answers_to(web, "/v1/receipts/{provider}")[len(told_off) :]) >= {204}
    assert await product.statuses() == {"delivered": 4}
    assert (await product.differences()).total == 0
