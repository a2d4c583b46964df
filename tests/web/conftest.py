"""The product over real HTTP on loopback, without workers: tests run the stages they mean."""

import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from channels.settings import SendGridSettings, TwilioSettings
from dispatcher.app import running
from dispatcher.config import BannerSettings, Settings
from dispatcher.context import Context
from dispatcher.web.app import make_runner
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock, contact, seed
from tests.web.client import Api, key_with
from tests.web.signing import PUBLIC_KEY

PAGE_ORIGIN = "https://app.example.com"
TWILIO_SID = "AC" + "0" * 32
TWILIO_TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A port of our own: its number is part of the settings before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def web_settings(settings: Settings, listening: socket.socket) -> Settings:
    port = listening.getsockname()[1]
    return settings.model_copy(
        update={
            "public_url": f"http://127.0.0.1:{port}",
            "banner": BannerSettings(origins=(PAGE_ORIGIN,), demo=True),
            "sendgrid": SendGridSettings(
                api_key=SecretStr("SG.none"), webhook_public_key=PUBLIC_KEY
            ),
            "twilio": TwilioSettings(account_sid=TWILIO_SID, auth_token=SecretStr(TWILIO_TOKEN)),
        }
    )


@pytest.fixture
async def ctx(web_settings: Settings, clock: MovableClock) -> AsyncIterator[Context]:
    async with running(web_settings, clock) as context:
        yield context


@pytest.fixture
async def server(ctx: Context, listening: socket.socket) -> AsyncIterator[str]:
    """The base URL."""
    runner = make_runner(ctx)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    yield ctx.settings.public_url
    await runner.cleanup()


@pytest.fixture
async def anonymous(server: str) -> AsyncIterator[Api]:
    """A caller without a key."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Api(session, server, {})


@pytest.fixture
async def api(anonymous: Api, ctx: Context) -> Api:
    """A caller that may do everything."""
    return anonymous.bearing(await key_with(ctx, Scope.ADMIN))


@pytest.fixture
async def people(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "big")], tiers={"big": "enterprise"})
