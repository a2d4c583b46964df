import pytest

from dispatcher.config import ApiSettings, Settings, WebSettings
from tests.cli.conftest import on_database, shell, tidings
from tests.web.conftest import anonymous, api, clock, ctx, listening, people, server
from tests.web.conftest import web_settings as plain_settings

__all__ = [
    "anonymous",
    "api",
    "clock",
    "ctx",
    "listening",
    "on_database",
    "people",
    "plain_settings",
    "server",
    "shell",
    "tidings",
    "web_settings",
]


@pytest.fixture
def web_settings(plain_settings: Settings) -> Settings:
    """All our people sign in from one address, but where a test says from which, as a proxy does."""
    return plain_settings.model_copy(
        update={"api": ApiSettings(sign_ins=1000, proxies=1), "web": WebSettings(port=0)}
    )
