"""How a command fails: what an operator can mend ends in sentences on standard error and an exit code.

Imported when something has failed, because it knows the errors of every room.
"""

import errno
import sys
from typing import Final, NoReturn

import asyncpg

from dispatcher.cli.base import Exit, Failure
from dispatcher.cli.plain import plain
from dispatcher.config import SettingsError
from dispatcher.db import AWAY, DatabaseAddressError, DatabaseUnavailableError, MigrationError
from dispatcher.embedded import EmbeddedBusyError, EmbeddedPostgresError, UnusableFolderError
from dispatcher.rules.policy import PolicyError
from dispatcher.rules.problem import RefusedError
from segments.reading import FileError
from segments.rules import RulesError
from templates.render import TemplateError

# Asked for first: an address that is none is no place that is away.
_INPUT: Final = (
    SettingsError,
    PolicyError,
    RulesError,
    TemplateError,
    FileError,
    DatabaseAddressError,
)
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
