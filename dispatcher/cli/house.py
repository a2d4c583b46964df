"""The demo's own installation: settings in one file, a throw-away database, real processes."""

import asyncio
import json
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import orjson

from dispatcher.app import running
from dispatcher.cli.base import Exit, Failure
from dispatcher.cli.processes import Children, Ended, command
from dispatcher.config import load_settings
from dispatcher.context import Context
from dispatcher.embedded import embedded_postgres

T = TypeVar("T")

READY_WITHIN_S: Final = 60.0
WORKERS: Final = 2
_GRACE_S: Final = 10.0
_LOG_LINES: Final = 15
_WEB_PORT, _SANDBOX_PORT = 8080, 8090


@dataclass(frozen=True, slots=True)
class House:
    """A running installation. `settings_file` makes any other `tidings` command part of it."""

    built: Context
    children: Children
    folder: Path
    settings_file: Path
    sandbox_url: str

    @property
    def url(self) -> str:
        """Where web listens."""
        return self.built.settings.public_url

    def last_words(self, name: str) -> str:
        """The end of what a child has logged."""
        log = self.folder / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(lines[-_LOG_LINES:])


async def while_all_live(
    home: House, watched: "asyncio.Task[Ended | None]", work: Coroutine[Any, Any, T]
) -> T:
    """What `work` comes to; `watched` waits for the end of a process. Raises Failure when one ends first."""
    acting = asyncio.create_task(work)
    try:
        await asyncio.wait([watched, acting], return_when=asyncio.FIRST_COMPLETED)
        if watched.done():
            refuse_an_end(home, watched.result())
        return await acting
    finally:
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)


def refuse_an_end(home: House, ended: Ended | None) -> None:
    """Raises Failure when a process ended by itself, with its last words."""
    if ended is not None:
        words = home.last_words(ended.name)
        raise Failure(Exit.UNREACHABLE, f"{ended.name} ended with {ended.code}:", words)


@asynccontextmanager
async def house(*, hold_port: bool, workers: int = WORKERS) -> AsyncIterator[House]:
    """Start sandbox, database, web and workers; at the end nothing of them is left.

    With `hold_port`, the usual ports are taken where they are free, so that documented commands fit.
    """
    with (
        _folder() as folder,
        listening(_WEB_PORT if hold_port else 0) as web,
        listening(_SANDBOX_PORT if hold_port else 0) as providers,
    ):
        web_port: int = web.getsockname()[1]
        public_url = f"http://127.0.0.1:{web_port}"
        async with AsyncExitStack() as stack:
            children = await stack.enter_async_context(Children(grace_s=_GRACE_S))
            # Both take seconds, so they start together. The database is ours to end: nobody else
            # uses it longer than we do.
            database = embedded_postgres(_database_folder(folder), ephemeral=True)
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(
                    _start_sandbox(children, folder, public_url, providers)
                )
                group.create_task(stack.enter_async_context(database))
            sandbox = starting.result()
            settings_file = folder / "tidings.toml"
            settings_file.touch(mode=0o600)
            settings_file.write_text(
                _toml(_tables(folder, public_url, web_port, sandbox["environment"]))
            )
            settings = load_settings(environ={}, config_file=settings_file)
            async with running(settings) as built, Children(grace_s=_GRACE_S) as flow:
                await _start_flow(flow, folder, settings_file, web, workers)
                yield House(built, flow, folder, settings_file, sandbox["url"])


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tidings-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(_database_folder(folder), ignore_errors=True)


def _database_folder(folder: Path) -> Path:
    """Beside the folder, not in it: the server may run as another account, which cannot enter ours."""
    return folder.with_name(f"{folder.name}-db")


def listening(wanted: int) -> socket.socket:
    """A socket on the wanted port of this machine where that is free, else on any free one; 0 takes any.

    It listens already: a port that is only looked at may be another's until somebody listens there.
    """
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", wanted))
        held.listen()
    except OSError:
        held.close()
        if wanted == 0:
            raise
        return listening(0)
    return held


def _plain_environment() -> dict[str, str]:
    """Ours without settings of the operator's: a demo must never send through real providers."""
    return {name: value for name, value in environ.items() if not name.startswith("TIDINGS_")}


async def _start_sandbox(
    children: Children, folder: Path, public_url: str, held: socket.socket
) -> dict[str, Any]:
    # An empty settings file keeps the operator's ./tidings.toml out of it.
    empty = folder / "sandbox.toml"
    empty.touch()
    argv = command("--config", str(empty), "sandbox", "--json", "--until-stdin-closes")
    process = await children.start(
        "sandbox",
        [*argv, "--receipts-url", public_url],
        environment={**_plain_environment(), "TIDINGS_PUBLIC_URL": public_url},
        log=folder / "sandbox.log",
        read=True,
        held=held,
    )
    line = await process.stdout.readline() if process.stdout else b""
    if not line:
        raise Failure(
            Exit.UNREACHABLE, "The sandbox did not start.", (folder / "sandbox.log").read_text()
        )
    found: dict[str, Any] = orjson.loads(line)
    return found


def _tables(
    folder: Path, public_url: str, port: int, sandbox: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {
        "": {"public_url": public_url, "secret": secrets.token_hex(32)},
        "web": {"port": port},
        "embedded": {"dir": str(_database_folder(folder)), "ephemeral": True},
        "banner": {"demo": True},
        # So that a receiver of one's own can be tried; nothing else that is not public.
        "webhooks": {"allow_networks": ["127.0.0.0/8"], "http_hosts": ["127.0.0.1", "localhost"]},
    }
    for name, value in sandbox.items():
        group, _, key = name.removeprefix("TIDINGS_").lower().partition("__")
        tables.setdefault(group, {})[key] = value
    return tables


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Strings, numbers, booleans and lists of them are written in TOML as in JSON."""
    lines: list[str] = []
    for name, values in tables.items():
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


async def _start_flow(
    children: Children, folder: Path, settings_file: Path, web: socket.socket, workers: int
) -> None:
    for name in ("web", *(f"worker-{number + 1}" for number in range(workers))):
        verb = "serve" if name == "web" else "worker"
        argv = command("--config", str(settings_file), verb, "--until-stdin-closes")
        await children.start(
            name,
            argv,
            environment=_plain_environment(),
            log=folder / f"{name}.log",
            held=web if name == "web" else None,
        )


async def until_ready(built: Context, session: aiohttp.ClientSession) -> None:
    """Return when web answers and has seen a worker. Raises Failure."""
    deadline = built.clock.monotonic() + READY_WITHIN_S
    reason = "it does not answer"
    while built.clock.monotonic() < deadline:
        try:
            async with session.get(f"{built.settings.public_url}/readyz") as answer:
                if answer.ok:
                    return
                reason = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            pass
        await built.clock.sleep(0.1)
    raise Failure(Exit.UNREACHABLE, f"The demo was not ready in {READY_WITHIN_S:.0f} s: {reason}")
