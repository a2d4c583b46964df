"""Fault 17: the disk of the database is full, and later is not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr

from dispatcher.config import DatabaseSettings, Settings
from tests.chaos.cluster import cluster_in, small_disk
from tests.chaos.harness import Answer, Product, product_on
from tests.chaos.people import body, crowd
from tests.chaos.processes import Nursery, until
from tests.profiles import BRISK

pytestmark = pytest.mark.timeout(120)

DISK_MB = 112
MAILS, TEXTS = 3, 80


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(DISK_MB) as folder:
        if folder is None:
            pytest.skip("a file system of its own for the database can be mounted by root alone")
        yield folder


@pytest.fixture
async def product(
    nursery: Nursery, disk: Path, postgres_version: int, tmp_path: Path
) -> AsyncIterator[Product]:
    async with cluster_in(disk, postgres_version) as cluster:
        settings = Settings(
            database=DatabaseSettings(url=SecretStr(cluster.dsn), pool_max=5),
            secret=SecretStr("a secret for tests, which is long enough"),
            worker=BRISK,
        )
        async with product_on(nursery, settings, tmp_path / "logs") as made:
            yield made


def fill(ballast: Path) -> None:
    """Take all that is left, block by block."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def announce_at_length(product: Product, number: int) -> Answer:
    """Post an update of an incident of its own that takes some pages."""
    name, note = f"INC-{number}", Random(number).randbytes(4900).hex()
    update = body(product.ctx, incident={"external_id": name}, note=note)
    return await product.post("/v1/updates", update, key=name)


@pytest.mark.fault(17)
async def test_a_full_disk_refuses_updates_and_what_was_begun_goes_on_when_there_is_room(
    product: Product, disk: Path
) -> None:
    ctx = product.ctx
    await crowd(ctx, mails=MAILS, texts=TEXTS)
    web = await product.start_web()
    workers = await product.start_workers(2)
    await product.announce()

    async def sending() -> bool:
        return len(await product.providers.ledger()) > MAILS

    await until(sending, within=30, what="messages should leave", watched=workers)
    # The log of changes has 16 MB to go on, or PostgreSQL itself would stop.
    await ctx.pool.execute("select pg_switch_wal()")
    await ctx.pool.execute("checkpoint")
    ballast = disk / "ballast"
    fill(ballast)
    # The last pages have some room; what was accepted there is as good as any.
    answers = [await announce_at_length(product, number) for number in range(2, 12)]
    assert {answer.status for answer in answers} <= {202, 503, 507}
    refused = [answer for answer in answers if answer.status != 202]
    assert len(refused) > 5
    assert all(answer.retry_after > 0 for answer in refused)
    await asyncio.sleep(1)
    assert (await product.statuses()).get("delivered", 0) < MAILS + TEXTS
    ballast.unlink()
    assert (await announce_at_length(product, 11)).status == 202
    await product.settle(within=40)
    assert [process.ended for process in (web, *workers)] == [None] * 3
    people = (MAILS + TEXTS) * (2 + len(answers) - len(refused))
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (people, {1})
    differences = await product.differences()
    assert (differences.total, differences.unconfirmed) == (0, 0), differences
    # Twilio repeats no callback that was refused.
    statuses = await product.statuses()
    assert set(statuses) <= {"delivered", "accepted"}
    assert sum(statuses.values()) == people
