"""A scripted provider and a shared session for each test."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.channels.provider import ScriptedProvider, scripted_provider


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with scripted_provider() as scripted:
        yield scripted


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened
