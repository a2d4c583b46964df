"""Something changed in the editor of whoever sits at the terminal, as YAML."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dispatcher.cli.base import Exit, Failure
from dispatcher.cli.document import in_its_lines, read_document, read_text
from dispatcher.cli.plain import say
from dispatcher.cli.syntax import as_yaml
from dispatcher.rules.problem import RefusedError

T = TypeVar("T")


def by_editor(
    shown: Mapping[str, Any], *, above: str, name: str, apply: Callable[[dict[str, Any]], T]
) -> T | None:
    """What `apply` makes of the names whose values somebody has changed; None where there are none.

    `above`: comments on top of the file, which is called `name`. Raises Failure: with a mistake in what
    was written, or when it cannot be stored, the file stays and is named.
    """
    command = _editor()
    # A folder of its own, which nobody else may enter: editors leave copies beside what they edit.
    folder = Path(tempfile.mkdtemp(prefix="tidings-"))
    file = folder / f"{name}.yaml"
    kept = False
    try:
        before = above + as_yaml(shown)
        file.touch(mode=0o600)
        file.write_text(before, encoding="utf-8")
        _run(command, file)
        kept = True
        made = None if read_text(str(file)) == before else _applied(file, shown, apply)
        kept = False
        return made
    finally:
        if kept:
            say(f"What you wrote stays in {file}.", err=True)
        else:
            shutil.rmtree(folder)


def _applied(
    file: Path, shown: Mapping[str, Any], apply: Callable[[dict[str, Any]], T]
) -> T | None:
    try:
        changed = _changed(read_document(str(file)), shown)
        return apply(changed) if changed else None
    except RefusedError as refused:
        raise in_its_lines(str(file), refused) from None


def _changed(written: Any, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The names that say something else than before; of what holds names itself only those that do."""
    if not isinstance(written, dict):
        raise Failure(
            Exit.USAGE, f"It must hold names and values; the names are {', '.join(shown)}."
        )
    changed = {name: value for name, value in written.items() if value != shown.get(name, ...)}
    facts, before = changed.get("facts"), shown.get("facts")
    if isinstance(facts, dict) and isinstance(before, Mapping):
        changed["facts"] = {
            name: value for name, value in facts.items() if value != before.get(name, ...)
        }
    return {name: value for name, value in changed.items() if name != "facts" or value != {}}


def _editor() -> list[str]:
    """Raises Failure where none is named."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not command:
        raise Failure(
            Exit.USAGE, "Say what changes, in a file or by --set; or name your editor in EDITOR."
        )
    return command


def _run(command: list[str], file: Path) -> None:
    try:
        argv = [*command, str(file)]
        code = subprocess.run(argv, check=False).returncode  # noqa: S603 - whoever sits here named it
    except OSError as error:
        raise Failure(Exit.USAGE, f"{command[0]} cannot be started: {error.strerror}.") from None
    if code:
        raise Failure(Exit.USAGE, f"{command[0]} ended with {code}; nothing was changed.")
