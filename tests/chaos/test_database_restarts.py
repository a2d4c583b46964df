"""Fault 12: PostgreSQL goes down and comes back while messages leave. Fault 33: so do callbacks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from dispatcher.config import DatabaseSettings, Settings
from dispatcher.db import AWAY
from tests.chaos.cluster import Cluster, cluster_in, folder_for_cluster
from tests.chaos.harness import Product, product_on
from tests.chaos.people import crowd
from tests.chaos.processes import Nursery, until
from tests.chaos.test_database_link import FEW_A_SECOND, said
from tests.profiles import BRISK

pytestmark = pytest.mark.timeout(120)

MAILS, TEXTS = 20, 400


@pytest.fixture
async def cluster(postgres_version: int) -> AsyncIterator[Cluster]:
    with folder_for_cluster() as folder:
        async with cluster_in(folder, postgres_version) as cluster:
            yield cluster


@pytest.fixture
async def product(nursery: Nursery, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Product]:
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(cluster.dsn), pool_max=5),
        secret=SecretStr("a secret for tests, which is long enough"),
        worker=BRISK,
    )
    async with product_on(nursery, settings, tmp_path / "logs") as made:
        yield made


async def ready(product: Product) -> None:
    """The judge's own connections broke as well; they are made anew."""

    async def answers() -> bool:
        try:
            return bool(await product.ctx.pool.fetchval("select true"))
        except AWAY:
            return False

    await until(answers, within=20, what="PostgreSQL should be back")


@pytest.mark.fault(12, 33)
async def test_a_database_that_restarts_again_and_again_while_messages_leave_costs_nothing(
    product: Product, cluster: Cluster
) -> None:
    await crowd(product.ctx, mails=MAILS, texts=TEXTS)
    web = await product.start_web()
    workers = await product.start_workers(2)
    await product.announce()
    # Each time in the middle of sending.
    for how, enough in (("fast", 10), ("immediate", 130), ("kill", 250)):

        async def has_left(enough: int = enough) -> bool:
            return len(await product.providers.ledger()) >= enough

        await until(has_left, within=30, what="messages should leave", watched=workers)
        assert len(await product.providers.ledger()) < MAILS + TEXTS
        await cluster.restart(how)
    await ready(product)
    await product.settle(within=40)
    assert [process.ended for process in (web, *workers)] == [None] * 3
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (MAILS + TEXTS, {1})
    differences = await product.differences()
    assert (differences.total, differences.unconfirmed) == (0, 0), differences
    for worker in workers:
        assert said(worker)["queue_lost"] > 0
        assert sum(said(worker).values()) < 6 * FEW_A_SECOND, said(worker)
