"""What every verb shares: settings from flags, one way to run, one way to print, one way to fail.

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
from typing import Annotated, Any, Final, NoReturn, TypeVar

import asyncpg
import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from dispatcher.app import running
from dispatcher.cli.flags import Flags
from dispatcher.cli.plain import as_text, plain
from dispatcher.clock import SystemClock
from dispatcher.config import Settings, SettingsError, load_settings
from dispatcher.context import Context
from dispatcher.db import AWAY, DatabaseUnavailableError, MigrationError
from dispatcher.embedded import EmbeddedBusyError, EmbeddedPostgresError, UnusableFolderError
from dispatcher.ids import ForgedIdError, Signer
from dispatcher.rules.policy import PolicyError
from dispatcher.rules.problem import RefusedError
from segments.reading import FileError
from segments.rules import RulesError
from templates.render import TemplateError

T = TypeVar("T")

CLOCK: Final = SystemClock()


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

_INPUT: Final = (SettingsError, PolicyError, RulesError, TemplateError, FileError)
_PLACE: Final = (
    DatabaseUnavailableError,
    MigrationError,
    EmbeddedPostgresError,
    EmbeddedBusyError,
    UnusableFolderError,
)
_NO_SCHEMA: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)
# Without OSError, which may be a file or a port.
_LOST: Final = (ConnectionError, *(kind for kind in AWAY if kind is not OSError))
_FAULT_OF_OURS: Final = 500


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


def within(ctx: typer.Context, work: Callable[[Context], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with everything built from the settings."""

    async def run() -> T:
        async with running(settings_of(ctx), patient=True) as built:
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
            name, justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in rows:
        made.add_row(*map(as_text, row))
    return made


def explained(error: Exception) -> Failure | None:
    """The sentence and exit code of an error an operator can mend; None for a fault of ours."""
    match error:
        case Failure():
            return error
        case RefusedError():
            return _refused(error)
        case ExceptionGroup():
            found = [explained(item) for item in error.exceptions]
            return next((item for item in found if item is not None), None)
        case OSError() if error.errno == errno.EADDRINUSE:
            return Failure(
                Exit.UNREACHABLE,
                "The port is in use by another program: end it, or choose another with --port.",
            )
        case OSError() if error.errno in {errno.EACCES, errno.EADDRNOTAVAIL}:
            return Failure(
                Exit.UNREACHABLE, f"{error.strerror}: check the address, port and rights."
            )
        case _:
            return _explained_by_kind(error)


def _refused(error: RefusedError) -> Failure:
    details = [f"  {_place(item.pointer)}: {item.detail}" for item in error.problems]
    code = Exit.UNREACHABLE if error.status >= _FAULT_OF_OURS else Exit.USAGE
    return Failure(code, f"{error.title.rstrip('.')}.", *details)


def _place(pointer: str) -> str:
    """What stands in the query of a request is an option here."""
    return f"--{pointer[1:].replace('_', '-')}" if pointer.startswith("?") else pointer


def _explained_by_kind(error: Exception) -> Failure | None:
    if isinstance(error, _INPUT):
        return Failure(Exit.USAGE, str(error))
    if isinstance(error, _PLACE):
        return Failure(Exit.UNREACHABLE, str(error))
    if isinstance(error, _NO_SCHEMA):
        return Failure(
            Exit.UNREACHABLE, "The database has no (current) schema. Run: tidings migrate"
        )
    if isinstance(error, _LOST):
        return Failure(
            Exit.UNREACHABLE, f"The database did not answer ({type(error).__name__}); try again."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Failure(Exit.UNREACHABLE, f"The database does not allow it: {error}.")
    return None


def fail(failure: Failure) -> NoReturn:
    """Say it on standard error and end."""
    for number, line in enumerate(str(failure).split("\n")):
        sys.stderr.write(f"{'tidings: ' if number == 0 else ''}{plain(line)}\n")
    sys.exit(failure.code)
