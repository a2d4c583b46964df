"""The command `tidings`: one file per group of verbs, assembled in `verbs`."""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from dispatcher.cli.flags import Flags
from dispatcher.cli.verbs import Verbs

__all__ = ["app", "main"]

app = typer.Typer(
    name="tidings",
    cls=Verbs,
    help="One incident update in; every affected customer told, on every channel, exactly once.",
    epilog="Exit codes: 0 done · 1 a check failed or numbers differ · 2 wrong usage or bad input · "
    "3 something needed cannot be reached or is taken · 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

STDOUT: Final = 1
# As in base.Exit, which is imported with the first verb only.
INTERRUPTED: Final = 130
UNREAD: Final = 141
LONG_RUNNING: Final = frozenset({"serve", "worker", "up", "sandbox"})


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidings {version('tidings')}")
        raise typer.Exit


@app.callback()
def _before_any_verb(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Settings file instead of ./tidings.toml.", metavar="FILE")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.", metavar="LEVEL")
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Embedded database: throw the data away at the end.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """One incident update in; every affected customer told, on every channel, exactly once."""
    flags = Flags(config=config, log_level=log_level)
    if ephemeral:
        flags.settings["embedded"] = {"ephemeral": True}
    ctx.obj = flags
    level = log_level or ("INFO" if ctx.invoked_subcommand in LONG_RUNNING else "WARNING")
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise typer.BadParameter("must be DEBUG, INFO, WARNING or ERROR", param_hint="--log-level")
    # Not at the top, like the verbs' own files: help and version are said without any of it.
    import_module("dispatcher.log").configure_logging(level)


def main() -> None:
    """Run the command line; an error an operator can mend ends in a sentence, not a traceback."""
    try:
        app(prog_name="tidings")
    except SystemExit as end:
        _leave(end)
    except Exception as error:
        failing = import_module("dispatcher.cli.failing")
        failure = failing.explained(error)
        if failure is None:
            raise
        failing.fail(failure)


def _leave(end: SystemExit) -> NoReturn:
    """What typer ends without a word, or with a code that means something else here."""
    try:
        sys.stdout.flush()
    except BrokenPipeError as gone:
        end.__context__ = gone
    if isinstance(end.__context__, BrokenPipeError):
        # Python flushes once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        sys.exit(UNREAD)
    if end.code == INTERRUPTED:
        sys.stderr.write("tidings: interrupted.\n")
    raise end
