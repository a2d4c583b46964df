"""The product over HTTP, with its status open to everybody unless a test says otherwise."""

import socket

import pytest

from dispatcher.config import Settings, StatusSettings
from tests.web.conftest import anonymous, clock, ctx, listening, server

__all__ = ["anonymous", "clock", "ctx", "listening", "server"]


@pytest.fixture
def is_public() -> bool:
    return True


@pytest.fixture
def web_settings(settings: Settings, listening: socket.socket, *, is_public: bool) -> Settings:
    port = listening.getsockname()[1]
    return settings.model_copy(
        update={
            "public_url": f"http://127.0.0.1:{port}",
            "status": StatusSettings(public=is_public),
        }
    )
