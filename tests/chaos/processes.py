"""Real processes for a test: each leads a group of its own, logs to a file, and never outlives it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
TAIL = 4_000


class Nursery:
    """The process that forks the others, see `tests.chaos.nursery`; one for a whole run."""

    def __enter__(self) -> Self:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            start_new_session=True,  # Ctrl-C ends it through its input, after the finalizers
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe(self._parent.stdin).close()
        self._parent.wait(timeout=10)
        self._pipe(self._parent.stdout).close()

    def ask(self, **request: object) -> Any:
        """One request, one answer."""
        pipe = self._pipe(self._parent.stdin)
        pipe.write(json.dumps(request) + "\n")
        pipe.flush()
        return json.loads(self._pipe(self._parent.stdout).readline())

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@dataclass(slots=True)
class Process:
    """One child. `log` holds everything it said."""

    name: str
    pid: int
    log: Path
    nursery: Nursery

    @property
    def ended(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        code: int | None = self.nursery.ask(pid=self.pid)
        return code

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group."""
        # While it has not been waited for, its number cannot be another's.
        if self.ended is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def wait(self, *, within: float = 20.0) -> int:
        """Until it has ended by itself; the exit code."""
        await until(self._is_over, within=within, what=f"{self.name} should have ended")
        code = self.ended
        assert code is not None
        return code

    async def wait_until_stopped(self, *, within: float = 20.0) -> None:
        """Until a failpoint has stopped it: it is there, and does nothing."""
        await until(self._is_stopped, within=within, what=f"{self.name} should have been stopped")

    def kill(self) -> None:
        """End it at once, with all its children; SIGKILL also ends what is stopped."""
        self.send(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.ended is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def tail(self) -> str:
        """The end of what it said."""
        return self.log.read_text("utf-8", errors="replace")[-TAIL:]

    async def _is_over(self) -> bool:
        return self.ended is not None

    @property
    def stopped(self) -> bool:
        """Whether it is there, and does nothing until SIGCONT."""
        try:
            stopped: bool = psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False
        return stopped

    async def _is_stopped(self) -> bool:
        return self.stopped


@dataclass(slots=True)
class Processes:
    """All children of one test."""

    nursery: Nursery
    folder: Path
    all: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    def start(
        self,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        name: str,
    ) -> Process:
        """Start one; what it says goes to a file beside the others."""
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith("TIDINGS_")
        }
        log = self.folder / f"{len(self.all)}-{name}.log"
        log.touch()
        pid = self.nursery.ask(
            program=program,
            arguments=arguments,
            environment={**inherited, **(environment or {})},
            folder=str(self.folder),  # no tidings.toml there
            log=str(log),
        )
        process = Process(name, pid, log, self.nursery)
        self.all.append(process)
        return process

    def kill_all(self) -> None:
        """Leave nobody behind."""
        for process in self.all:
            process.kill()


async def until(
    check: Callable[[], Awaitable[bool]],
    *,
    within: float,
    what: str,
    watched: Sequence[Process] = (),
) -> None:
    """Poll until `check` holds. Fails with `what`, or as soon as one of `watched` has died."""
    deadline = time.monotonic() + within
    while not await check():
        for process in watched:
            if process.ended is not None:
                raise AssertionError(f"{process.name} ended with {process.ended}\n{process.tail()}")
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} within {within} s")
        await asyncio.sleep(0.03)
