from collections.abc import AsyncIterator

import pytest

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.db import Connection
from tests.flow.story import MovableClock
from tests.report.rows import Book, at


@pytest.fixture
def book(conn: Connection) -> Book:
    return Book(conn)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(at(600))


@pytest.fixture
async def ctx(settings: Settings, clock: MovableClock) -> AsyncIterator[Context]:
    """A worker's context on the database of `book`; nothing runs in it by itself."""
    async with running(settings, clock) as context:
        yield context
