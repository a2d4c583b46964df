"""`python -m dispatcher.cli.manual FILE` writes the reference of the command line from the commands."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from dispatcher.cli.examples import BAD_DAY, ENDS_WITH_1, EXAMPLES
from dispatcher.cli.parity import VERB_OF, WITHOUT_VERB
from dispatcher.cli.verbs import PANELS, real_command

_COMMON: Final = frozenset({"--json", "--help"})
_KINDS: Final[Mapping[type, str]] = {str: "TEXT", int: "N", float: "N", datetime: "MOMENT"}
_HEAD: Final = """\
# The command line

Written by `make cli-docs` from the commands themselves; a test compares.

`tidings` works on the database, with the same settings as the processes that serve: whoever may read
`TIDINGS_DATABASE__URL` and `TIDINGS_SECRET` may do everything, and needs no key. It is for operators, where
Tidings runs; there is no remote client. From anywhere else use the API: `docs/openapi.json`, or `/docs` of
your installation.

- **`--json`** prints one JSON value, the same that the API answers; words for people go to standard error
  or nowhere. `watch` and `intake tail` print a line for each thing that happens.
- **Lists** show 50 at once; `--limit` takes up to 200, and `--cursor` goes on where a page ended.
- **Groups** are called as what they hold, several of it; `list`, `show`, `create`, `change` and `remove` do the
  same in each. `set` creates or changes.
- **Names and addresses** of people are masked unless `--addresses` is given.
- **What cannot be taken back** is done after saying what will happen, and asking; `--yes` does not ask. Where
  there is no terminal nobody can be asked: there it needs `--yes`.
- **Times** are UTC.
- **What is changed** stands in the audit log as done by `cli`: `tidings audit`.
- **Settings** come from flags before the verb (`--config FILE`, `--log-level LEVEL`), the environment, secret
  files and `tidings.toml`, in this order: `tidings config show --origin`.
- **Width and colour** follow the terminal, `COLUMNS` and `NO_COLOR`.
- **Completion** for your shell: `tidings --install-completion`.

## Exit codes

| code | means |
|---|---|
| 0 | done |
| 1 | a check failed, or numbers differ |
| 2 | wrong usage or bad input: nothing was changed |
| 3 | something needed cannot be reached, or is taken: the database, its schema, a port, a worker |
| 130 | interrupted by Ctrl-C |
| 141 | nobody reads the output any more, as in `tidings … \\| head -1` |

What is wrong is said in sentences on standard error, with the field, option or setting and what to do. Where a
code 1 is possible it is named below.
"""
_BAD_DAY: Final = """\
## On a bad day

| you want to | |
|---|---|
"""
_TAIL: Final = """\
## What the API does, and which verb does it

| operation | verb |
|---|---|
"""
_WITHOUT: Final = """\

No verb has:

| operation | because it is |
|---|---|
"""


def manual() -> str:
    """The whole reference as Markdown."""
    parts = [_HEAD, _BAD_DAY + _rows((what, _lines(how)) for what, how in BAD_DAY.items())]
    for panel, names in PANELS.items():
        parts.append(f"## {panel}\n")
        for name in names:
            parts += _of(real_command(name), name)
    parts.append(_TAIL + _rows(sorted((op, f"`tidings {verb}`") for op, verb in VERB_OF.items())))
    parts.append(_WITHOUT.lstrip("\n") + _rows(sorted(WITHOUT_VERB.items())))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command below `name` that does something, with all its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    if command.invoke_without_command:
        yield name, command
    for word, one in inner.items():
        yield from leaves(f"{name} {word}", one)


def _of(command: Any, name: str) -> Iterator[str]:
    found = list(leaves(name, command))
    acts = any(verb == name for verb, _ in found)
    yield f"### tidings {name}\n\n{_body(name, command) if acts else _text(command.help)}\n"
    for verb, leaf in found:
        if verb != name:
            yield f"#### tidings {verb}\n\n{_body(verb, leaf)}"


def _body(verb: str, command: Any) -> str:
    words = [_text(command.help), f"    {EXAMPLES.get(verb) or _usage(verb, command)}"]
    if verb in ENDS_WITH_1:
        words.append(f"Exit code 1: {ENDS_WITH_1[verb]}.")
    rows = [row for param in command.params if (row := _param(param))]
    if rows:
        words.append("| | |\n|---|---|\n" + _rows(rows))
    return "\n\n".join(words) + "\n"


def _usage(verb: str, command: Any) -> str:
    needed = [
        param.metavar or param.name.upper()
        for param in command.params
        if param.param_type_name == "argument" and param.required
    ]
    return " ".join(["tidings", verb, *needed])


def _param(param: Any) -> tuple[str, str] | None:
    if param.param_type_name == "argument":
        shown = (param.metavar or param.name.upper()).strip("[]")
        return f"`{shown}`", _cell(param.help or "")
    if param.hidden or _COMMON & set(param.opts):
        return None
    value = "" if param.is_flag else f" {_value(param)}"
    name = ", ".join(f"`{option}{value}`" for option in sorted(param.opts, key=len, reverse=True))
    return _cell(name), _cell(" ".join(filter(None, (param.help, _default(param)))))


def _value(param: Any) -> str:
    if param.metavar:
        return str(param.metavar)
    kind = param.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind) if get_origin(kind) is list else kind
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if issubclass(kind, Enum):
        return "|".join(str(item.value) for item in kind)
    return _KINDS.get(kind, kind.__name__.upper())


def _default(param: Any) -> str:
    if isinstance(param.show_default, str):
        return f"({param.show_default})"
    if param.is_flag or param.default in (None, ()) or callable(param.default):
        return ""
    return f"({getattr(param.default, 'value', param.default)})"


def _text(text: str) -> str:
    """Help as Markdown: what stands after a line of its own is as it was written."""
    prose, _, example = (text or "").partition("\b\n")
    if not example:
        return prose.strip()
    return f"{prose.strip()}\n\n```\n{example.rstrip()}\n```"


def _lines(commands: Sequence[str]) -> str:
    return "<br>".join(f"`{command}`" for command in commands)


def _rows(rows: Any) -> str:
    return "".join(f"| {left} | {right} |\n" for left, right in rows)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), encoding="utf-8")
