"""Two webs and four workers on machines of their own carry one installation, and survive two of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.pipeline import CONSUMERS
from dispatcher.web.keys import create_key
from dispatcher.web.scopes import Scope
from tests.chaos.conftest import nursery
from tests.chaos.harness import Product, free_port
from tests.chaos.people import body, crowd
from tests.chaos.processes import Nursery, Processes, until
from tests.chaos.providers import start_providers
from tests.machines.fleet import Fleet, Machine, balanced
from tests.profiles import BRISK

__all__ = ["nursery"]

WEBS, WORKERS = 2, 4
MAILS, TEXTS = 1000, 100
AT_LEAST, AT_MOST = 2, 9  # incidents
POOL_MAX = 5
RECEIPTS_MAX = 2
# X has no credentials here, so neither of its two consumers runs.
CONSUMED = [name for name in CONSUMERS if not name.endswith("social")]
SESSIONS_SQL = """
select application_name as name, count(*) as n from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() group by 1
"""
# Long enough that evidence, not policy, settles what the dead worker had in its hands.
SETTLED_BY_EVIDENCE = BRISK.model_copy(update={"reconcile_window_s": 5})


@dataclass(slots=True)
class Site:
    """The installation as the world sees it, through the balancer."""

    product: Product
    fleet: Fleet
    webs: list[Machine]
    workers: list[Machine]
    incidents: int = 0
    sessions: Counter[str] = field(default_factory=Counter)

    async def announce(self) -> None:
        """One more incident, for everybody; posted again where a web died over it."""
        self.incidents += 1
        name = f"INC-{self.incidents}"
        update = body(self.product.ctx, incident={"external_id": name})

        async def taken() -> bool:
            with suppress(aiohttp.ClientError):
                return (await self.product.post("/v1/updates", update, key=name)).status == 202
            return False

        await until(taken, within=20, what="some web should take the update")

    async def all_have_sent(self) -> bool:
        """Whether every worker has; where nothing is left to send meanwhile, there is a new incident."""
        idle = await self.idle()
        if idle and not await self.product.count("dispatch where completed_at is null"):
            assert self.incidents < AT_MOST, f"{idle} never had anything to do"
            await self.announce()
        return not idle

    async def idle(self) -> list[str]:
        """Workers that have asked no provider for anything yet."""
        counts = [await worker.scrape(self.product.http) for worker in self.workers]
        return [
            worker.process.name
            for worker, count in zip(self.workers, counts, strict=True)
            if not count.get("tidings_provider_request_seconds_count")
        ]

    async def count_sessions(self) -> None:
        """Keep the most that were ever seen of each kind."""
        while True:
            rows = await self.product.ctx.pool.fetch(SESSIONS_SQL)
            self.sessions |= Counter({row["name"]: row["n"] for row in rows})
            await asyncio.sleep(0.1)


@pytest.fixture
async def site(nursery: Nursery, settings: Settings, tmp_path: Path) -> AsyncIterator[Site]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    logs, machines = tmp_path / "logs", tmp_path / "machines"
    logs.mkdir()
    processes = Processes(nursery, logs)
    async with AsyncExitStack() as stack:
        timeout = aiohttp.ClientTimeout(total=20)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        stack.callback(processes.kill_all)
        fleet = Fleet(nursery, machines, http)
        stack.callback(fleet.kill_all)
        providers = await start_providers(processes, http, url)
        told = settings.model_copy(update={"public_url": url, "worker": SETTLED_BY_EVIDENCE})
        shared = providers.configure(told)
        ctx = await stack.enter_async_context(running(shared))
        async with ctx.pool.acquire() as conn:
            key = await create_key(conn, name="test", scopes=[Scope.ADMIN], now=ctx.now())
        webs = [fleet.start("serve", shared) for _ in range(WEBS)]
        workers = [fleet.start("worker", shared) for _ in range(WORKERS)]
        await crowd(ctx, mails=MAILS, texts=TEXTS)
        await fleet.until_up()
        await stack.enter_async_context(balanced(port, [web.port for web in webs]))
        product = Product(ctx, port, processes, providers, http, key.text)
        site = Site(product, fleet, webs, workers)
        watching = asyncio.create_task(site.count_sessions())
        yield site
        watching.cancel()


@pytest.mark.timeout(120)  # half a dozen processes on a machine that has other things to do
async def test_two_webs_and_four_workers_that_share_only_the_database_lose_and_repeat_nothing(
    site: Site,
) -> None:
    product = site.product
    for _ in range(AT_LEAST):
        await site.announce()
    await until(site.all_have_sent, within=60, what="every worker should have sent something")
    assert await product.count("slice where state in (0, 1, 2)") > 0, "nobody dies in the middle"
    site.webs[0].process.kill()
    site.workers[0].process.kill()
    await site.announce()
    await product.settle(within=60)

    told = await product.acceptances()
    assert (len(told), set(told.values())) == (site.incidents * (MAILS + TEXTS), {1})
    differences = await product.differences()
    assert (differences.total, differences.unconfirmed) == (0, 0), differences
    # A callback on its way to the web that died is not repeated by every provider.
    assert set(await product.statuses()) <= {"delivered", "accepted"}
    assert {machine.process.name: machine.written() for machine in site.fleet.machines} == {
        machine.process.name: set() for machine in site.fleet.machines
    }
    assert site.sessions["tidings-queue"] == WORKERS * len(CONSUMED)
    assert site.sessions["tidings-banner"] == WEBS
    assert WEBS <= site.sessions["tidings-receipts"] <= WEBS * RECEIPTS_MAX
    # The judge in this process has a pool of its own.
    assert site.sessions["tidings"] <= (WEBS + WORKERS + 1) * POOL_MAX
