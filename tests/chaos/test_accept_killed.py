"""Web dies, or freezes, around the commit of accept; the caller tries again with its key."""

import asyncio
import signal

import aiohttp
import pytest

from tests.chaos.harness import Product, free_port
from tests.chaos.people import body, crowd
from tests.chaos.processes import until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.fault(1, 2, 3)
@pytest.mark.parametrize(
    ("failpoint", "kept"), [("accept.before_commit", 0), ("accept.after_commit", 1)]
)
async def test_a_retry_with_the_same_key_makes_one_update_whichever_side_of_the_commit_web_died(
    product: Product, failpoint: str, kept: int
) -> None:
    await crowd(product.ctx, mails=3, texts=2)
    update = body(product.ctx)
    web = await product.start_web({failpoint: "kill"})
    with pytest.raises(aiohttp.ClientError):
        await product.post("/v1/updates", update, key="alert-1")
    assert await web.wait() == -signal.SIGKILL
    assert await product.ctx.pool.fetchval("select count(*) from incident_update") == kept

    await product.start_web()
    first = await product.post("/v1/updates", update, key="alert-1")
    assert (first.status, first.replayed) == (202, bool(kept))
    again = await product.post("/v1/updates", update, key="alert-1")
    assert (again.body, again.replayed) == (first.body, True)
    other = await product.post("/v1/updates", {**update, "note": "changed"}, key="alert-1")
    assert other.status == 422

    await product.start_workers(1)
    await product.settle()
    assert await product.ctx.pool.fetchval("select count(*) from incident_update") == 1
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (5, {1})
    assert (await product.differences()).total == 0


async def test_a_web_process_frozen_in_its_transaction_does_not_hold_up_another(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=3)
    update = body(product.ctx)
    frozen = await product.start_web({"accept.before_commit": "stop"})
    hanging = asyncio.create_task(product.post("/v1/updates", update, key="alert-1"))
    await frozen.wait_until_stopped()
    product.port = free_port()
    await product.start_web()

    async def accepted() -> bool:
        answer = await product.post("/v1/updates", update, key="alert-1")
        assert answer.status in {202, 409}, answer
        return answer.status == 202

    await until(accepted, within=30, what="the other process should accept the update")
    frozen.send(signal.SIGCONT)
    assert (await hanging).status == 503
    assert await product.ctx.pool.fetchval("select count(*) from incident_update") == 1
