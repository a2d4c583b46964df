"""Who may see the metrics, on the web's port and on a worker's own."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from dispatcher.config import MetricsSettings, Settings
from dispatcher.context import Context
from dispatcher.web.app import make_runner
from dispatcher.web.metrics import keep_worker_metrics
from tests.chaos.harness import free_port
from tests.flow.story import eventually
from tests.web.client import Api
from tests.web.test_metrics import read

TOKEN = "not to be guessed"


@pytest.fixture(params=["no token", "token"])
def web_settings(web_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    token = SecretStr(TOKEN) if request.param == "token" else None
    metrics = MetricsSettings(token=token, port=free_port())
    return web_settings.model_copy(
        update={"metrics": metrics, "public_url": "https://status.example.com"}
    )


@pytest.fixture
async def worker(ctx: Context) -> AsyncIterator[str]:
    """Where a worker shows its own."""
    stop = asyncio.Event()
    task = asyncio.create_task(keep_worker_metrics(ctx, stop))
    base = f"http://127.0.0.1:{ctx.settings.metrics.port}"

    async def answers() -> bool:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{base}/metrics"):
                    return True
            except aiohttp.ClientConnectionError:
                return False

    await eventually(answers, what="the worker's port")
    yield base
    stop.set()
    await task


async def test_web_asks_for_the_token_and_without_one_shows_them_to_nobody_outside(
    ctx: Context, listening: socket.socket
) -> None:
    runner = make_runner(ctx)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    async with aiohttp.ClientSession() as session:
        api = Api(session, f"http://127.0.0.1:{listening.getsockname()[1]}", {})
        for token in (None, "wrong", f"{TOKEN}x", "ö"):
            refused = await api.bearing(token).get("/metrics")
            assert (refused.status, refused.kind) == (401, "metrics-token-invalid")
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        good = await api.bearing(TOKEN).get("/metrics")
        assert good.status == (200 if ctx.settings.metrics.token else 401)
    await runner.cleanup()


async def test_a_worker_shows_its_own_numbers_and_asks_for_the_token_if_there_is_one(
    ctx: Context, worker: str
) -> None:
    async with aiohttp.ClientSession() as session:
        plain, bearing = [
            await Api(session, worker, {}).bearing(token).get("/metrics") for token in (None, TOKEN)
        ]
    assert plain.status == (401 if ctx.settings.metrics.token else 200)
    assert bearing.status == 200
    names = {name for name, _ in read(bearing.body.decode()).samples}
    assert "tidings_slices_held_total" in names
    assert "tidings_workers" not in names


async def test_a_worker_that_shows_its_numbers_nowhere_goes_on_all_the_same(ctx: Context) -> None:
    assert ctx.settings.metrics.port
    silent = ctx.settings.model_copy(update={"metrics": MetricsSettings()})
    ctx.settings = silent
    stop = asyncio.Event()
    task = asyncio.create_task(keep_worker_metrics(ctx, stop))
    await asyncio.wait({task}, timeout=0.05)
    assert not task.done()
    stop.set()
    await task
