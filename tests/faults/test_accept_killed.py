"""Fault 1: web is killed around the commit of accept; the caller tries again with the same key."""

import signal

import aiohttp
import pytest

from tests.faults.harness import Product
from tests.faults.people import body, crowd


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

    await product.start_workers(2)
    await product.settle()
    assert await product.ctx.pool.fetchval("select count(*) from incident_update") == 1
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (5, {1})
    assert (await product.differences()).total == 0
