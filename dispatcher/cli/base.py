"""What every verb shares: settings from flags, one way to run, one way to print.

Exit codes stand in `Exit`; docs/cli.md and `tidings --help` tell them from there.
"""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum
from importlib import import_module
from typing import Annotated, Any, Final, TypeVar

import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from dispatcher.cli.flags import Flags
from dispatcher.cli.plain import as_text
from dispatcher.clock import SystemClock
from dispatcher.config import Settings, load_settings
from dispatcher.context import Context
from dispatcher.ids import ForgedIdError, Signer

T = TypeVar("T")

CLOCK: Final = SystemClock()
COMMAND_LINE: Final = "cli"
"""As what the command line stands in the audit log, and keeps idempotency keys; no one can present it."""
# Of ours, and so never too long for a line: in two pieces nobody could hand it to the next command.
_COPIED: Final = "id"


class Exit(IntEnum):
    """What the caller of the command learns. The last two are 128 and a signal's number, as in any shell."""

    OK = 0
    DIFFERS = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    UNREAD = 141


class Failure(Exception):  # noqa: N818 - read as "raise Failure(Exit.USAGE, …)"
    """Ends the command with sentences on standard error and an exit code."""

    def __init__(self, code: Exit, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.code = code


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words and tables.")]


def settings_of(ctx: typer.Context, **groups: Mapping[str, Any]) -> Settings:
    """Settings with the flags before the verb and, above them, those of the verb itself."""
    flags: Flags = ctx.obj
    above = dict(flags.settings)
    for name, values in groups.items():
        given = {key: value for key, value in values.items() if value is not None}
        above[name] = {**above.get(name, {}), **given}
    return load_settings(
        {name: group for name, group in above.items() if group}, config_file=flags.config
    )


def execute(work: Coroutine[Any, Any, T]) -> T:
    """Run a verb's coroutine to its end."""
    return uvloop.run(work)


@asynccontextmanager
async def opened(ctx: typer.Context) -> AsyncIterator[Context]:
    """Everything built from the settings, for as long as this lasts."""
    # Imported by the verb that runs: its help, and a mistake in its words, are told without.
    async with import_module("dispatcher.app").running(settings_of(ctx), patient=True) as built:
        yield built


def within(ctx: typer.Context, work: Callable[[Context], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with everything built from the settings."""

    async def run() -> T:
        async with opened(ctx) as built:
            return await work(built)

    return execute(run())


@asynccontextmanager
async def until_stopped(*, with_stdin: bool = False) -> AsyncIterator[asyncio.Event]:
    """An event that is set by SIGINT and SIGTERM and, `with_stdin`, when standard input closes.

    A parent that is killed cannot say so, but its end of the pipe closes.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stdin = sys.stdin.fileno() if with_stdin else None

    def read() -> None:
        if stdin is not None and not os.read(stdin, 1):
            loop.remove_reader(stdin)
            stop.set()

    if stdin is not None:
        loop.add_reader(stdin, read)
    try:
        yield stop
    finally:
        if stdin is not None:
            loop.remove_reader(stdin)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def number_of(signer: Signer, kind: str, text: str, what: str) -> int:
    """The number behind a public id. Raises Failure."""
    try:
        return signer.read_public_id(kind, text)
    except ForgedIdError:
        raise Failure(
            Exit.USAGE, f"{text!r} is not the id of a {what} here; it looks like {kind}_…"
        ) from None


class _Out(Console):
    """Standard output, as rich writes to it."""

    def on_broken_pipe(self) -> None:
        """Who read it has seen enough: `main` ends the command."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console() -> Console:
    """Standard output; in a pipe 80 columns wide, unless COLUMNS says otherwise."""
    out = _Out(highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not out.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        out.width = 80
    return out


def print_json(value: object) -> None:
    """One JSON value, indented, on standard output."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
    sys.stdout.write(text.decode() + "\n")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> Table:
    """A plain table; the columns in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for name in columns:
        number = name in right
        made.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=number or name == _COPIED,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*map(as_text, row))
    return made
