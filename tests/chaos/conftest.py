"""Fixtures: the product as processes."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import aiohttp
import pytest

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.web.keys import create_key
from dispatcher.web.scopes import Scope
from tests.chaos.harness import BRISK, Product, free_port, start_providers
from tests.chaos.processes import Nursery, Processes


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks the processes of all stories of this run."""
    with Nursery() as parent:
        yield parent


@pytest.fixture
async def product(nursery: Nursery, settings: Settings, tmp_path: Path) -> AsyncIterator[Product]:
    """Providers and an empty database; the story starts web and workers itself."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path / "logs"
    folder.mkdir()
    processes = Processes(nursery, folder)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
            providers = await start_providers(processes, http, url)
            told = settings.model_copy(update={"public_url": url, "worker": BRISK})
            async with running(providers.configure(told)) as context:
                async with context.pool.acquire() as conn:
                    key = await create_key(
                        conn, name="faults", scopes=[Scope.ADMIN], now=context.now()
                    )
                yield Product(context, port, processes, providers, http, key.text)
                processes.kill_all()
    finally:
        processes.kill_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Beside a failure, what the processes said last."""
    report = yield
    product = getattr(item, "funcargs", {}).get("product")
    if report.failed and isinstance(product, Product):
        for process in product.processes.all:
            title = f"{process.log.name} (ended with {process.ended})"
            report.sections.append((title, process.tail()))
    return report
