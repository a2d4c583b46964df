"""Fault 1 at the door of sources: web dies around the commit, and the sender sends its event again."""

import signal

import aiohttp
import pytest

from dispatcher.intake.model import Kind
from dispatcher.web.intake.models import SourceIn
from dispatcher.web.intake.sources import create_source
from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.intake.payloads import statuspage

pytestmark = pytest.mark.timeout(120)


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    ("failpoint", "kept"), [("accept.before_commit", 0), ("accept.after_commit", 1)]
)
async def test_an_event_sent_again_tells_everybody_once_whichever_side_of_the_commit_web_died(
    product: Product, failpoint: str, kept: int
) -> None:
    await crowd(product.ctx, mails=3)
    chosen = SourceIn(
        kind=Kind.STATUSPAGE,
        name="status",
        mode="auto",
        component_ids=["checkout"],
        next_update_within="30min",
    )
    made = await create_source(product.ctx, chosen, actor="cli")
    door = f"/v1/intake/{made.id}/{made.secret}"
    web = await product.start_web({failpoint: "kill"})
    with pytest.raises(aiohttp.ClientError):
        await product.post(door, statuspage())
    assert await web.wait() == -signal.SIGKILL
    for table in ("incident_update", "intake_said", "intake_event"):
        assert await product.ctx.pool.fetchval(f"select count(*) from {table}") == kept

    await product.start_web()
    first, again = [await product.post(door, statuspage()) for _ in range(2)]
    assert [(first.status, first.replayed), (again.status, again.replayed)] == [
        (202, bool(kept)),
        (202, True),
    ]
    await product.start_workers(1)
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (3, {1})
    assert (await product.differences()).total == 0
