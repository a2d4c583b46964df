"""What cannot be taken back is done after asking, or with --yes: the one way in which verbs ask."""

import sys
from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

from dispatcher.cli.base import Exit, Failure
from dispatcher.cli.plain import plain, say

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def at_a_terminal() -> bool:
    """Whether somebody is there who can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def make_sure(what: Callable[[], str], *, yes: bool) -> None:
    """Go on with `yes`, or when a person says so who has read `what` will happen, whole sentences.

    Raises Failure: bad usage where nobody can be asked; 1 when the answer is no, or none.
    """
    if yes:
        return
    if not at_a_terminal():
        raise Failure(Exit.USAGE, "This cannot be taken back; add --yes if that is meant.")
    try:
        meant = typer.confirm(f"{plain(what())} Go on?", err=True)
    except typer.Abort:
        say(err=True)
        meant = False
    if not meant:
        raise Failure(Exit.DIFFERS, "Nothing was changed.")
