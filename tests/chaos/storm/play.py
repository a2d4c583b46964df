"""Play one storm: start an installation, do everything the script says to it, let it settle, judge."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import assert_never

import aiohttp
import asyncpg
from pydantic import SecretStr

from dispatcher.config import DatabaseSettings, Settings
from dispatcher.db import AWAY, Pool
from dispatcher.rules.policy import default_policy_text
from tests.chaos.harness import Product, product_on
from tests.chaos.people import body, crowd
from tests.chaos.processes import Nursery, Process
from tests.chaos.storm.judge import Verdict, judge
from tests.chaos.storm.script import Post, Script, Strike, draw
from tests.clusters import cloned_from
from tests.profiles import HURRIED

SETTLE_WITHIN_S = 45.0
_BACKOFF = 'base = "5s"\ncap = "5min"'
_HURRIED_BACKOFF = 'base = "1s"\ncap = "2s"'
CUT_SQL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> all($1::int[]) and application_name <> 'strike'
"""
LOOK_EVERY_S = 0.05
# Whom a failpoint has stopped goes on after this long: beyond its lease.
THAW_AFTER_S = 3.0
# 409: the attempt before may still be under way.
_TRY_AGAIN = {
    HTTPStatus.CONFLICT,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
}


async def _all_connections(pool: Pool) -> list[int]:
    """The server's processes behind a pool, which opens all its connections for it."""
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(pool.acquire()) for _ in range(pool.get_max_size())]
        return [conn.get_server_pid() for conn in held]


@dataclass(slots=True)
class _Installation:
    """Web and workers, each started anew when it has died, as a supervisor would."""

    product: Product
    script: Script
    places: list[Process] = field(default_factory=list)
    deaths: list[datetime] = field(default_factory=list)
    judges: list[int] = field(default_factory=list)
    generations: Counter[int] = field(default_factory=Counter)

    async def start(self) -> None:
        """Everybody is there, and nobody has anything to do yet."""
        self.judges = await _all_connections(self.product.ctx.pool)
        web, *workers = (self._next_points(place) for place in range(len(self.script.armed)))
        started = await asyncio.gather(
            self.product.start_web(web),
            self.product.start_workers(len(workers), each_at=workers),
        )
        self.places += [started[0], *started[1]]

    def _begin(self, place: int) -> Process:
        return self.product.start("worker" if place else "serve", self._next_points(place))

    def _next_points(self, place: int) -> Mapping[str, str]:
        """What the next process at this place has in its way; once all were there, nothing."""
        armed = self.script.armed[place]
        generation = self.generations[place]
        self.generations[place] += 1
        return armed[generation] if generation < len(armed) else {}

    async def supervise(self) -> None:
        """Until cancelled: who has died is there again a moment later, who was stopped goes on."""
        stopped: dict[int, float] = {}
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for place, process in enumerate(self.places):
                if process.ended is not None:
                    self.deaths.append(self.product.ctx.now())
                    self.places[place] = self._begin(place)
                elif not process.stopped:
                    stopped.pop(process.pid, None)
                elif (
                    time.monotonic()
                    > stopped.setdefault(process.pid, time.monotonic()) + THAW_AFTER_S
                ):
                    process.send(signal.SIGCONT)

    async def strike(self, strike: Strike) -> None:
        victim = self.places[strike.victim]
        match strike.kind:
            case "kill":
                victim.send(signal.SIGKILL)
            case "kill_all":
                for process in self.places:
                    process.send(signal.SIGKILL)
            case "freeze":
                victim.send(signal.SIGSTOP)
                await asyncio.sleep(strike.lasts)
                victim.send(signal.SIGCONT)
            case "empty_queue":
                await self._in_the_database("delete from pgqueuer")
            case "cut_connections":
                await self._in_the_database(CUT_SQL, self.judges)
            case _:
                assert_never(strike.kind)

    async def _in_the_database(self, statement: str, *parameters: object) -> None:
        """On a connection of its own, which no other strike cuts."""
        named = {"application_name": "strike"}
        conn = await asyncpg.connect(self.product.ctx.dsn, server_settings=named)
        try:
            await conn.execute(statement, *parameters)
        finally:
            await conn.close()


async def play(nursery: Nursery, cluster: str, seed: int, folder: Path) -> Verdict:
    """One storm on a database of its own. Logs stay in `folder`."""
    began = time.monotonic()
    script = draw(seed)
    verdict = Verdict(seed, faults=script.faults)
    async with cloned_from(cluster) as dsn, _product(nursery, dsn, folder, script) as product:
        await crowd(product.ctx, mails=script.mails, texts=script.texts)
        await product.providers.misbehave(*script.misbehaviour)
        installation = _Installation(product, script)
        await installation.start()
        try:
            async with _supervised(installation):
                await _weather(product, installation, script)
                await product.providers.behave()
                await product.settle(within=SETTLE_WITHIN_S)
        except* AssertionError as group:
            verdict.lost += [_in_one_line(error) for error in group.exceptions]
        except* AWAY as group:
            verdict.wrong += [f"the judge failed: {error!r}" for error in group.exceptions]
        await judge(
            product,
            verdict,
            accepted=len(script.posts),
            audience=(script.mails, script.texts),
            deaths=installation.deaths,
        )
    verdict.seconds = time.monotonic() - began
    return verdict


@asynccontextmanager
async def _supervised(installation: _Installation) -> AsyncIterator[None]:
    supervisor = asyncio.create_task(installation.supervise())
    try:
        yield
    finally:
        supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await supervisor


def _in_one_line(error: BaseException) -> str:
    return "; ".join([*str(error).splitlines()[:1], *getattr(error, "__notes__", [])])


@asynccontextmanager
async def _product(
    nursery: Nursery, dsn: str, folder: Path, script: Script
) -> AsyncIterator[Product]:
    policy = folder / "policy.toml"
    text = default_policy_text()
    assert _BACKOFF in text
    policy.write_text(text.replace(_BACKOFF, _HURRIED_BACKOFF))
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(dsn), pool_max=4),
        secret=SecretStr("a secret for storms, which is long enough"),
        worker=HURRIED,
        policy_file=policy,
    )
    async with product_on(
        nursery, settings, folder, {"seed": script.seed, "latency": script.latency}
    ) as product:
        yield product


async def _weather(product: Product, installation: _Installation, script: Script) -> None:
    """All posts and strikes at their times; returns when every update was accepted."""
    began = time.monotonic()

    async def at(moment: float) -> None:
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))

    async def strike(one: Strike) -> None:
        await at(one.at)
        await installation.strike(one)

    async def tell(posts: Sequence[Post]) -> None:
        for one in posts:
            await at(one.at)
            await _post(product, one)

    async with asyncio.TaskGroup() as group:
        for one in script.strikes:
            group.create_task(strike(one))
        for posts in _by_incident(script):
            group.create_task(tell(posts))


def _by_incident(script: Script) -> list[list[Post]]:
    """An upstream tells of one incident in order."""
    incidents = {post.incident for post in script.posts}
    return [[post for post in script.posts if post.incident == one] for one in sorted(incidents)]


async def _post(product: Product, post: Post) -> None:
    """As an upstream should: the same body under the same key until it is accepted."""
    facts: dict[str, object] = {"impact": f"Impact number {post.number}."}
    if post.status == "resolved":
        facts["next_update_by"] = None
    said = body(
        product.ctx,
        incident={"external_id": f"INC-{post.incident}", "severity": post.severity},
        status=post.status,
        facts=facts,
    )
    deadline = time.monotonic() + SETTLE_WITHIN_S
    while time.monotonic() < deadline:
        with suppress(aiohttp.ClientError, TimeoutError):
            answer = await product.post("/v1/updates", said, key=post.key)
            if answer.status == HTTPStatus.ACCEPTED:
                return
            assert answer.status in _TRY_AGAIN, answer
        await asyncio.sleep(0.1)
    raise AssertionError(f"{post.key} was not accepted within {SETTLE_WITHIN_S} s")
