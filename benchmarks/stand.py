"""The test stand: a throw-away cluster as shipped, one population cloned per case, real processes.

Everything is started here and ends with the `async with`, by pid, also after Ctrl-C.
"""

import asyncio
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from benchmarks.meter import POSTMASTER_SQL
from benchmarks.people import populate
from benchmarks.sink import PUBLIC_KEY
from benchmarks.wire import fetch
from channels.model import ChannelKind
from dispatcher.app import running
from dispatcher.cli.processes import Children, command
from dispatcher.config import load_settings
from dispatcher.context import Context
from dispatcher.db import migrate
from dispatcher.embedded import embedded_postgres
from dispatcher.rules.policy import default_policy_text

READY_WITHIN_S: Final = 60.0
NO_LIMIT: Final = 10_000_000
_SECRET: Final = "a secret of benchmarks, kept nowhere else"  # noqa: S105 - guards nothing
_GRACE_S: Final = 20.0


def say(*words: object) -> None:
    """Progress, on standard error: standard output belongs to the numbers."""
    print(f"[{time.strftime('%H:%M:%S')}]", *words, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large everything is: `scale` of the full sizes, `old` deliveries of earlier months."""

    scale: float = 1.0
    old: int = 10_000_000

    def of(self, full: int, *, least: int = 1) -> int:
        """A full size scaled, but not below what makes sense."""
        return max(least, int(full * self.scale))


@dataclass(frozen=True, slots=True)
class Process:
    """A child of ours; `url` where it listens, if it does."""

    name: str
    pid: int
    url: str = ""


@dataclass(slots=True)
class Case:
    """One database of one bench, with what runs against it."""

    ctx: Context
    conn: "asyncpg.Connection[asyncpg.Record]"
    postmaster: int
    environment: dict[str, str]
    children: Children
    folder: Path
    workers: list[Process] = field(default_factory=list)

    def check(self) -> None:
        """Raise RuntimeError with its last words when a child has ended."""
        for name, process in self.children.running.items():
            if process.returncode is not None:
                words = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {words}")

    async def until(self, question: str, *args: object, what: str, within_s: float = 300.0) -> None:
        """Ask the database until it says true. Raises TimeoutError naming `what`."""
        deadline = time.monotonic() + within_s
        while not await self.conn.fetchval(question, *args):
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {within_s:.0f} s")
            await asyncio.sleep(0.1)

    async def start_workers(self, count: int) -> list[Process]:
        """Start worker processes and return once all of them are at work."""
        self.workers += [await self._start(f"worker{n}", "worker") for n in range(count)]
        everyone = "select count(*) >= $1 from worker"
        await self.until(everyone, len(self.workers), what="workers", within_s=READY_WITHIN_S)
        # Its consumers connect within moments of the first heartbeat.
        await asyncio.sleep(1.5)
        return self.workers

    async def start_web(self) -> Process:
        """Start the web process and return once it answers."""
        url = self.ctx.settings.public_url
        process = await self._start("web", "serve", "--port", url.rpartition(":")[2])
        await self._until_it_answers(f"{url}/healthz")
        return Process(process.name, process.pid, url)

    async def _until_it_answers(self, url: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                await fetch(url)
            except OSError:
                self.check()
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    async def _start(self, name: str, *verb: str) -> Process:
        started = await self.children.start(
            name,
            command("--log-level", "WARNING", *verb, "--until-stdin-closes"),
            environment=self.environment,
            log=self.folder / f"{name}.log",
        )
        return Process(name, started.pid)

    async def stop_workers(self) -> None:
        """SIGTERM; they drain and leave."""
        await self.children.stop()
        self.workers.clear()


async def start_sink(
    children: Children, folder: Path, *, delay: float = 0.0, receipts: str = ""
) -> Process:
    """A provider of the bench's own, see `benchmarks.sink`."""
    argv = [sys.executable, "-m", "benchmarks.sink", "--delay", str(delay)]
    process = await children.start(
        "sink", [*argv, "--receipts", receipts], log=folder / "sink.log", read=True
    )
    line = await process.stdout.readline() if process.stdout else b""
    if not line:
        raise RuntimeError((folder / "sink.log").read_text())
    return Process("sink", process.pid, line.decode().strip())


async def stats(sink: Process) -> dict[str, Any]:
    """What the sink got."""
    found: dict[str, Any] = orjson.loads(await fetch(f"{sink.url}/stats"))
    return found


def policy(channels: Sequence[ChannelKind] | None, limits: dict[ChannelKind, int] | None) -> str:
    """The shipped policy with other sender limits a second (default: none that binds).

    With `channels`, every segment is told on just these at any severity.
    """
    text = default_policy_text()
    for kind in (ChannelKind.EMAIL, ChannelKind.SMS):
        count = (limits or {}).get(kind, NO_LIMIT)
        text = re.sub(
            rf"(\[sender\.{kind.value}\]\n)limits = .*",
            rf'\1limits = [{{ count = {count}, per = "1s" }}]',
            text,
        )
    if channels is not None:
        names = ", ".join(f'"{kind.value}"' for kind in channels)
        rule = (
            '[[rule]]\nsegment = "*"\nseverity = ["P0", "P1", "P2", "P3", "planned"]\n'
            f"channels = [{names}]\n"
        )
        text = re.sub(r"\[\[rule\]\]\n(?:\w.*\n)+\n?", "", text).replace(
            "[social]", f"{rule}\n[social]"
        )
    return text


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def now() -> datetime:
    """The machine's clock: a bench is an edge."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Stand:
    """The cluster and its populations."""

    dsn: str
    folder: Path
    children: Children
    _numbers: Iterable[int] = field(default_factory=lambda: iter(range(1, 10_000)))
    _made: set[int] = field(default_factory=set)

    def _at(self, database: str) -> str:
        return self.dsn.replace("/tidings?", f"/{database}?")

    async def _admin(self, *statements: str) -> None:
        conn = await asyncpg.connect(self._at("postgres"))
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()

    async def population(self, n: int) -> str:
        """The name of a database with `n` people, made on first use."""
        name = f"people_{n}"
        if n not in self._made:
            began = time.monotonic()
            await self._admin(f"create database {name}")
            conn = await asyncpg.connect(self._at(name))
            try:
                await migrate(conn)
                await populate(conn, n, now=now())
            finally:
                await conn.close()
            self._made.add(n)
            say(f"population of {n:,} made in {time.monotonic() - began:.1f} s")
        return name

    @asynccontextmanager
    async def case(
        self,
        n: int,
        *,
        channels: Sequence[ChannelKind] | None = None,
        limits: dict[ChannelKind, int] | None = None,
        sink: Process | None = None,
    ) -> AsyncIterator[Case]:
        """A clone of the population of `n`, dropped at the end, with settings of its own."""
        template = await self.population(n)
        name = f"case_{next(iter(self._numbers))}"
        await self._admin(f"create database {name} template {template} strategy file_copy")
        try:
            async with (
                Children(grace_s=_GRACE_S) as children,
                self._open(name, children, channels, limits, sink) as case,
            ):
                yield case
        finally:
            await self._admin(f"drop database {name} with (force)")

    @asynccontextmanager
    async def _open(
        self,
        name: str,
        children: Children,
        channels: Sequence[ChannelKind] | None,
        limits: dict[ChannelKind, int] | None,
        sink: Process | None,
    ) -> AsyncIterator[Case]:
        policy_file = self.folder / f"{name}.toml"
        policy_file.write_text(policy(channels, limits))
        environment = self._environment(name, policy_file, sink)
        settings = load_settings(environ=environment, config_file=Path(os.devnull))
        conn = await asyncpg.connect(self._at(name))
        try:
            await conn.execute("checkpoint")
            postmaster = await conn.fetchval(POSTMASTER_SQL)
            async with running(settings) as ctx:
                yield Case(ctx, conn, postmaster, environment, children, self.folder)
        finally:
            await conn.close()

    def _environment(self, name: str, policy_file: Path, sink: Process | None) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("TIDINGS_")}
        port = free_port()
        url = sink.url if sink else "http://127.0.0.1:9"
        return {
            **ours,
            # The operator's ./tidings.toml has no say here.
            "TIDINGS_CONFIG": os.devnull,
            "TIDINGS_DATABASE__URL": self._at(name),
            "TIDINGS_DATABASE__STATEMENT_TIMEOUT_S": "600",
            "TIDINGS_SECRET": _SECRET,
            "TIDINGS_POLICY_FILE": str(policy_file),
            "TIDINGS_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "TIDINGS_SENDGRID__API_KEY": "SG.bench",
            "TIDINGS_SENDGRID__BASE_URL": url,
            "TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY": PUBLIC_KEY,
            "TIDINGS_TWILIO__ACCOUNT_SID": "AC" + "5a" * 16,
            "TIDINGS_TWILIO__AUTH_TOKEN": "bench",
            "TIDINGS_TWILIO__BASE_URL": url,
        }


@asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    """Start the cluster; at the end nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-bench-"))
    # Beside the folder, not in it: the server may run as another account, which cannot enter ours.
    data = folder.with_name(f"{folder.name}-db")
    try:
        async with (
            embedded_postgres(data, ephemeral=True) as dsn,
            Children(grace_s=_GRACE_S) as children,
        ):
            yield Stand(dsn, folder, children)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
