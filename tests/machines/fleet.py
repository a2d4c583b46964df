"""Machines that share nothing but a database: each has folders, a home and an environment of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.config import Settings
from dispatcher.rules.policy import default_policy_text
from tests.chaos.harness import environment_of, free_port
from tests.chaos.processes import Nursery, Process, until

# So slow that the dispatches are still going on when somebody is killed.
LIMITS = {"email": 250, "sms": 25}


@dataclass(frozen=True, slots=True)
class Machine:
    """One process where nobody else is. `port`: its HTTP (web) or its metrics (worker)."""

    verb: str
    root: Path
    port: int
    process: Process
    before: dict[str, tuple[int, int]]

    def written(self) -> set[str]:
        """What has appeared, changed or gone in its folders since just before it started."""
        after = _tree(self.root)
        return {name for name in self.before | after if self.before.get(name) != after.get(name)}

    async def scrape(self, http: aiohttp.ClientSession) -> dict[str, float]:
        """Its metrics, summed over labels."""
        found: dict[str, float] = {}
        async with http.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
            for family in text_string_to_metric_families(await answer.text()):
                for sample in family.samples:
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found


def _tree(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(root))] = (status.st_size, status.st_mtime_ns)
    return found


@dataclass(slots=True)
class Fleet:
    """Puts up machines and takes them all down at the end. What they say goes to `logs`, not to them."""

    nursery: Nursery
    root: Path
    http: aiohttp.ClientSession
    machines: list[Machine] = field(default_factory=list)

    def start(self, verb: str, settings: Settings) -> Machine:
        """`tidings serve` or `tidings worker` on a machine of its own."""
        name = f"{len(self.machines)}-{verb}"
        root = self.root / name
        for folder in ("home", "work", "tmp"):
            (root / folder).mkdir(parents=True)
        policy = root / "policy.toml"
        policy.write_text(_policy())
        port = free_port()
        log = self.root / f"{name}.log"
        log.touch()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            **environment_of(settings, port=port, at={}),
            "TIDINGS_POLICY_FILE": str(policy),
        }
        before = _tree(root)
        pid = self.nursery.ask(
            program="tidings",
            arguments=[verb, *(["--metrics-port", str(port)] if verb == "worker" else [])],
            environment=environment,
            folder=str(root / "work"),
            log=str(log),
        )
        machine = Machine(verb, root, port, Process(name, pid, log, self.nursery), before)
        self.machines.append(machine)
        return machine

    async def until_up(self) -> None:
        """Until every machine answers HTTP."""
        for machine in self.machines:

            async def answers(machine: Machine = machine) -> bool:
                path = "healthz" if machine.verb == "serve" else "metrics"
                with suppress(aiohttp.ClientError):
                    async with self.http.get(f"http://127.0.0.1:{machine.port}/{path}") as answer:
                        return answer.ok
                return False

            what = f"{machine.process.name} should answer"
            await until(answers, within=40, what=what, watched=[machine.process])

    def kill_all(self) -> None:
        """Leave nobody behind."""
        for machine in self.machines:
            machine.process.kill()


def _policy() -> str:
    text = default_policy_text()
    for channel, count in LIMITS.items():
        head, _, tail = text.partition(f"[sender.{channel}]\n")
        rest = tail.partition("\n")[2]
        text = f'{head}[sender.{channel}]\nlimits = [{{ count = {count}, per = "1s" }}]\n{rest}'
    return text


@asynccontextmanager
async def balanced(port: int, backends: Iterable[int]) -> AsyncIterator[None]:
    """The one name under which several webs are known: a connection goes to the next that takes it."""
    ring = list(backends)
    pumps: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in ring:
            ring.append(ring.pop(0))
            with suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", ring[-1])
                pump = asyncio.create_task(_carry((reader, writer), there))
                pumps.add(pump)
                await asyncio.wait([pump])
                pumps.discard(pump)
                return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _carry(here: _Ends, there: _Ends) -> None:
    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    ways = [
        asyncio.create_task(one_way(here[0], there[1])),
        asyncio.create_task(one_way(there[0], here[1])),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for _, writer in (here, there):
            writer.close()
