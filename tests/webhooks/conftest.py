from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from dispatcher.config import Settings, WebhookSettings
from tests.web.conftest import anonymous, api, clock, ctx, listening, people, server
from tests.web.conftest import web_settings as plain_settings
from tests.webhooks.receiver import Receiver, receiving

__all__ = [
    "anonymous",
    "api",
    "clock",
    "ctx",
    "listening",
    "people",
    "plain_settings",
    "server",
]
LOOPBACK = WebhookSettings(
    allow_networks=(ip_network("127.0.0.0/8"),), http_hosts=("127.0.0.1", "localhost"), timeout_s=2
)


@pytest.fixture
def web_settings(plain_settings: Settings) -> Settings:
    """Webhooks may lead to receivers of the tests, on this machine."""
    return plain_settings.model_copy(update={"webhooks": LOOPBACK})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver
