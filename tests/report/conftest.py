import pytest

from dispatcher.db import Connection
from tests.report.rows import Book


@pytest.fixture
def book(conn: Connection) -> Book:
    return Book(conn)
