"""Fixtures: the product as processes."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from dispatcher.config import Settings
from tests.chaos.harness import Product, product_on
from tests.chaos.policies import impatient
from tests.chaos.processes import Nursery
from tests.profiles import BRISK, HURRIED


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks the processes of all stories of this run."""
    with Nursery() as parent:
        yield parent


@pytest.fixture
async def product(nursery: Nursery, settings: Settings, tmp_path: Path) -> AsyncIterator[Product]:
    """Providers and an empty database; the story starts web and workers itself."""
    brisk = settings.model_copy(update={"worker": BRISK})
    async with product_on(nursery, brisk, tmp_path / "logs") as made:
        yield made


@pytest.fixture
async def hurried(nursery: Nursery, settings: Settings, tmp_path: Path) -> AsyncIterator[Product]:
    """The same where a worker may lose its lease to a busy machine: for what is true whoever did it."""
    hasty = settings.model_copy(update={"worker": HURRIED, "policy_file": impatient(tmp_path)})
    async with product_on(nursery, hasty, tmp_path / "logs") as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Beside a failure, what the processes said last."""
    report = yield
    arguments = getattr(item, "funcargs", {}).values()
    for product in (found for found in arguments if report.failed and isinstance(found, Product)):
        for process in product.processes.all:
            title = f"{process.log.name} (ended with {process.ended})"
            report.sections.append((title, process.tail()))
    return report
