"""The product over HTTP with the sandbox as its providers, and a story of three customers."""

import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.sandbox import RunningSandbox, SandboxSettings, start
from dispatcher.senders import sync_senders
from dispatcher.web.app import make_runner
from tests.flow.conftest import clock, product_settings_for
from tests.flow.story import MovableClock
from tests.walls.story import World, tell
from tests.web.client import Api

__all__ = ["clock"]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A port of our own: its number is part of the settings before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def url(listening: socket.socket) -> str:
    """Where the product will be."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
async def sandbox(url: str) -> AsyncIterator[RunningSandbox]:
    """Providers that answer at once, and soon prove that everything has arrived."""
    settings = SandboxSettings(
        port=0,
        latency=0,
        latency_jitter=0,
        receipts_after=(0, 0.05),
        deferred=0,
        bounced=0,
        receipts_url=url,
    )
    started = await start(settings)
    yield started
    await started.stop()


@pytest.fixture
async def ctx(
    settings: Settings,
    sandbox: RunningSandbox,
    clock: MovableClock,
    url: str,
    listening: socket.socket,
) -> AsyncIterator[Context]:
    """The product with its channels, without consumers."""
    chosen = product_settings_for(settings, sandbox).model_copy(update={"public_url": url})
    async with running(chosen, clock) as context:
        async with context.pool.acquire() as conn:
            await sync_senders(conn, context, now=context.now(), decide=True)
        runner = make_runner(context)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield context
        await runner.cleanup()


@pytest.fixture
async def anonymous(ctx: Context) -> AsyncIterator[Api]:
    """A caller without a key."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Api(session, ctx.settings.public_url, {})


@pytest.fixture
async def world(ctx: Context, anonymous: Api) -> World:
    """The story, told."""
    return await tell(ctx, anonymous)
