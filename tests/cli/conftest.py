"""The real command line on the test's database."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

COMMAND = (sys.executable, "-m", "dispatcher.cli")


@dataclass(frozen=True)
class Result:
    """What a finished command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return orjson.loads(self.out)


Tidings = Callable[..., Awaitable[Result]]


def environment(**settings: str) -> dict[str, str]:
    """Ours, with only these settings of Tidings."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
    return {**plain, **{f"TIDINGS_{name}": value for name, value in settings.items()}}


@pytest.fixture
def on_database(database_url: str, tmp_path: Path) -> dict[str, str]:
    """An environment whose commands work on the test's own database."""
    return environment(
        DATABASE__URL=database_url,
        SECRET="a secret for tests, which is long enough",
        EMBEDDED__DIR=str(tmp_path / "embedded"),
    )


@pytest.fixture(scope="session")
def shell() -> Iterator["subprocess.Popen[bytes]"]:
    """One process that runs every command of the session; see shell.py."""
    argv = (sys.executable, "-m", "tests.cli.shell")
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=environment()) as process:
        yield process
        process.communicate(timeout=30)


@pytest.fixture
def tidings(
    shell: "subprocess.Popen[bytes]", on_database: dict[str, str], tmp_path: Path
) -> Tidings:
    """Run `tidings …` to its end; `typed` at a terminal; keywords replace environment variables."""

    def order(
        arguments: tuple[str, ...], stdin: bytes, typed: str | None, variables: dict[str, str]
    ) -> Result:
        assert shell.stdin is not None
        assert shell.stdout is not None
        written = {
            "arguments": arguments,
            "stdin": stdin.decode("latin-1"),
            "typed": typed,
            "environment": {**on_database, **variables},
            "folder": str(tmp_path),
        }
        shell.stdin.write(orjson.dumps(written) + b"\n")
        shell.stdin.flush()
        return Result(**orjson.loads(shell.stdout.readline()))

    async def run(
        *arguments: str, stdin: str | bytes = b"", typed: str | None = None, **variables: str
    ) -> Result:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        return await asyncio.to_thread(order, arguments, raw, typed, variables)

    return run
