from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dispatcher.sandbox import RunningSandbox, SandboxSettings, start
from tests.sandbox.clients import Clients
from tests.sandbox.product import Product

Open = Callable[..., Awaitable[Clients]]

QUICK: dict[str, Any] = {
    "port": 0,
    "latency": 0,
    "latency_jitter": 0,
    "receipts_after": (0, 0.05),
    "deferred": 0,
    "bounced": 0,
}


@pytest.fixture
async def product() -> AsyncIterator[Product]:
    product = Product()
    runner = web.AppRunner(product.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    product.url = "http://{}:{}".format(*runner.addresses[0])
    yield product
    await runner.cleanup()


@pytest.fixture
async def open_sandbox(product: Product) -> AsyncIterator[Open]:
    """Starts sandboxes that hurry, with the settings given on top."""
    async with AsyncExitStack() as stack:

        async def open_one(**settings: object) -> Clients:
            given = {**QUICK, "receipts_url": product.url, **settings}
            sandbox: RunningSandbox = await start(SandboxSettings.model_validate(given))
            stack.push_async_callback(sandbox.stop)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Clients(sandbox, session)

        yield open_one


@pytest.fixture
async def clients(open_sandbox: Open) -> Clients:
    return await open_sandbox()


@pytest.fixture
def sandbox(clients: Clients) -> RunningSandbox:
    return clients.sandbox
