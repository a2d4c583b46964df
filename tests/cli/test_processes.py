"""What runs long must end when told, and take everything it started with it."""

import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.cli.conftest import COMMAND, environment
from tests.places import for_clusters

pytestmark = pytest.mark.timeout(180)


async def eventually(check: Callable[[], Awaitable[bool]], what: str, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not await check():
        assert time.monotonic() < deadline, f"{what} did not happen within {within} s"
        await asyncio.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
async def up(on_database: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """`tidings up --workers 2`, answering, and its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "up", "--workers", "2", "--port", str(port), env=on_database
    )

    async def ready() -> bool:
        assert process.returncode is None, "up ended by itself"
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/readyz") as answer,
            ):
                return answer.ok
        except aiohttp.ClientError:
            return False

    try:
        await eventually(ready, "readiness")
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def children_of(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return found


async def all_gone(children: list[psutil.Process]) -> None:
    async def gone() -> bool:
        return not any(
            child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children
        )

    await eventually(gone, "the end of all children")


async def test_sigterm_ends_web_and_workers_in_order(
    up: tuple[asyncio.subprocess.Process, int],
) -> None:
    process, _ = up
    children = children_of(process)
    assert len(children) == 3
    process.terminate()
    assert await process.wait() == 0
    await all_gone(children)


async def test_children_end_by_themselves_when_their_parent_is_killed(
    up: tuple[asyncio.subprocess.Process, int],
) -> None:
    process, _ = up
    children = children_of(process)
    process.kill()
    await process.wait()
    await all_gone(children)


async def test_a_child_that_ends_ends_all_and_is_named(
    up: tuple[asyncio.subprocess.Process, int],
) -> None:
    process, _ = up
    children = children_of(process)
    os.kill(children[0].pid, signal.SIGKILL)
    assert await process.wait() == 3
    await all_gone(children)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder for temporary files that the database's own account can enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory(dir=for_clusters()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        assert list(folder.iterdir()) == []


async def test_an_interrupted_demo_leaves_nothing_behind(shared_folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "demo",
        env={**environment(), "TMPDIR": str(shared_folder)},
        stdout=asyncio.subprocess.PIPE,
    )

    # Before it has spoken it may have children that a library starts at its import.
    assert process.stdout is not None
    assert await process.stdout.readline()

    async def started() -> bool:
        return len(children_of(process)) >= 1

    await eventually(started, "the first child")
    children = children_of(process)
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0
    await all_gone(children)


async def test_a_demo_whose_web_dies_at_its_start_says_so_at_once(shared_folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "demo",
        "--empty",
        env={**environment(), "TMPDIR": str(shared_folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    def is_web(child: psutil.Process) -> bool:
        try:
            return "serve" in child.cmdline()
        except psutil.Error:  # it ended while it was looked at, as those of the database do
            return False

    async def killed() -> bool:
        found = [child for child in children_of(process) if is_web(child)]
        for child in found:
            child.kill()
        return bool(found)

    try:
        await eventually(killed, "web")
        # It waits 60 s for web to answer.
        _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()
    assert (process.returncode, said.splitlines()[0]) == (3, b"tidings: web ended with -9:")
