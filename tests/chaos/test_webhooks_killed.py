"""Webhooks while workers die: told at least once, with the same id, and customers exactly once."""

import signal
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import orjson
import pytest

from dispatcher.announce import EventType
from dispatcher.config import Settings, WebhookSettings
from tests.chaos.harness import Product, product_on
from tests.chaos.people import crowd
from tests.chaos.processes import Nursery, until
from tests.profiles import BRISK
from tests.webhooks.hooks import hook, log_of
from tests.webhooks.receiver import receiving

pytestmark = pytest.mark.timeout(120)

LAB = WebhookSettings(
    allow_networks=(ip_network("127.0.0.0/8"),), http_hosts=("127.0.0.1",), timeout_s=1
)
# As the environment of a worker has it.
_MORE = {
    "WEBHOOKS__ALLOW_NETWORKS": orjson.dumps([str(item) for item in LAB.allow_networks]).decode(),
    "WEBHOOKS__HTTP_HOSTS": orjson.dumps(LAB.http_hosts).decode(),
    "WEBHOOKS__TIMEOUT_S": LAB.timeout_s,
}


@pytest.fixture
async def product(nursery: Nursery, settings: Settings, tmp_path: Path) -> AsyncIterator[Product]:
    """As usual, and webhooks may lead to receivers of the tests."""
    brisk = settings.model_copy(update={"worker": BRISK, "webhooks": LAB})
    async with product_on(nursery, brisk, tmp_path / "logs") as made:
        yield made


async def test_a_worker_killed_between_the_answer_and_its_record_has_it_sent_again_with_the_same_id(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=3)
    async with receiving() as receiver, receiving() as hanging:
        hanging.delay_s = 60
        endpoint = await hook(product.ctx, receiver)
        await hook(product.ctx, hanging, EventType.UPDATE_PUBLISHED)
        await product.start_web()
        await product.announce()
        doomed = product.worker({"webhook.before_record": "kill"}, _MORE)
        assert await doomed.wait() == -signal.SIGKILL
        assert len(receiver.got) == 1
        await product.start_workers(2, _MORE)

        async def is_told() -> bool:
            told = await log_of(product.ctx, endpoint)
            return Counter(item.state for item in told) == {"delivered": 2}

        await until(is_told, within=30, what="both events should be told")
        await product.settle()
    first, *rest = receiver.got
    types = Counter((item.json["type"], item.id) for item in receiver.got)
    assert types[("update.published", first.id)] >= 2
    assert [item.json["type"] for item in rest].count("dispatch.completed") >= 1
    assert len(types) == 2
    assert all(item.verify(endpoint.secret) for item in receiver.got)
    assert len({item.body for item in receiver.got if item.id == first.id}) == 1
    # Nothing of it has touched what customers got.
    assert set((await product.acceptances()).values()) == {1}
    assert (await product.differences()).total == 0
