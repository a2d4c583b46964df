"""Child processes of our own kind: started, watched, and never left behind."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self


def command(*arguments: str) -> list[str]:
    """How this very program is started again."""
    return [sys.executable, "-m", "dispatcher.cli", *arguments]


@dataclass(frozen=True, slots=True)
class Ended:
    """A child that is over, with its exit code."""

    name: str
    code: int


@dataclass(slots=True)
class Children:
    """Processes that live inside an `async with`: at its end all are asked to stop, then made to.

    Each holds the other end of a pipe of ours, so they end even when this process is killed. `grace_s`
    is how long they may take after SIGTERM.
    """

    grace_s: float
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        read: bool = False,
        held: socket | None = None,
    ) -> asyncio.subprocess.Process:
        """Start one. Its errors go to `log`, or where ours go; with `read`, we get its output.

        `held`: a socket that it takes over, as `--socket`.
        """
        if held is not None:
            argv = [*argv, "--socket", str(held.fileno())]
        errors = log.open("ab") if log else None
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE if read else errors,
                stderr=errors,
                env=dict(environment) if environment is not None else None,
                pass_fds=() if held is None else (held.fileno(),),
                # Ctrl-C in a terminal goes to the whole group; who stops them is us.
                start_new_session=True,
            )
        finally:
            if errors:
                errors.close()
            if held is not None:
                held.close()
        place = name
        number = 1
        while place in self.running:
            number += 1
            place = f"{name} {number}"
        self.running[place] = process
        return process

    async def wait(self, stop: asyncio.Event) -> Ended | None:
        """Until `stop` (None), or until one of them has ended by itself."""
        waits = {
            asyncio.create_task(process.wait()): name for name, process in self.running.items()
        }
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *waits], return_when=asyncio.FIRST_COMPLETED)
            for task, name in waits.items():
                if task.done() and not stop.is_set():
                    return Ended(name, task.result())
            return None
        finally:
            for task in (stopping, *waits):
                task.cancel()

    async def stop(self) -> None:
        """SIGTERM for all, SIGKILL for those that have not ended in time."""
        for process in self.running.values():
            with suppress(ProcessLookupError):
                process.terminate()
        waiting = [asyncio.create_task(process.wait()) for process in self.running.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self.grace_s)
            if late:
                for process in self.running.values():
                    with suppress(ProcessLookupError):
                        process.kill()
                await asyncio.wait(waiting)
        self.running.clear()
