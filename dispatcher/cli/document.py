"""Reading what a person wrote: YAML or JSON, whatever the file is called."""

import sys
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel

from dispatcher.cli.base import Exit, Failure
from dispatcher.cli.syntax import UnreadableError, line_of, parsed
from dispatcher.rules.problem import FieldProblem, RefusedError
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.reading import BODY_LIMIT, as_body, refuse_unstorable

B = TypeVar("B", bound=BaseModel)

STDIN: Final = "-"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def read_text(file: str) -> str:
    """The text in a file; `-` is standard input. Raises Failure."""
    raw = _read_bytes(file)
    name = _name(file)
    if len(raw) > BODY_LIMIT:
        raise Failure(Exit.USAGE, f"{name} is larger than {BODY_LIMIT} bytes, which is the most.")
    if raw.startswith(_UTF16):
        raise Failure(Exit.USAGE, f"{name} is UTF-16; save it as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Failure(Exit.USAGE, f"{name} is not UTF-8 text, see line {line}.") from None
    if "\x00" in text:
        raise Failure(Exit.USAGE, f"{name} is not text: it has a zero byte in it.")
    return text


def read_document(file: str) -> Any:
    """YAML or JSON as JSON values; `-` is standard input. Raises Failure."""
    return _document(_name(file), read_text(file))


def _document(name: str, text: str) -> Any:
    if not text.strip():
        raise Failure(Exit.USAGE, f"{name} is empty.")
    try:
        # Through JSON, so that nothing comes out that the API could not have been sent.
        value = orjson.loads(orjson.dumps(parsed(text)))
        refuse_unstorable(value)
    except UnreadableError as error:
        raise Failure(Exit.USAGE, f"{name} {error}.") from None
    except WebRefusedError as error:
        why = "; ".join(f"{item.pointer}: {item.detail}" for item in error.problems) or error.title
        raise Failure(Exit.USAGE, f"{name} cannot be taken: {why}.") from None
    except TypeError as error:
        raise Failure(
            Exit.USAGE, f"{name} holds a value that JSON does not have: {error}."
        ) from None
    return value


def read_model(file: str, model: type[B], **over: Any) -> B:
    """The document as `model`; what is in `over` and not None stands above it. Raises Failure."""
    name, text = _name(file), read_text(file)
    value = _document(name, text)
    if not isinstance(value, dict):
        known = ", ".join(model.model_fields)
        raise Failure(Exit.USAGE, f"{name} must hold names and values; the names are {known}.")
    value.update({name: given for name, given in over.items() if given is not None})
    try:
        return as_body(value, model)
    except WebRefusedError as refused:
        raise _in_lines(name, text, refused) from None


def in_its_lines(file: str, refused: RefusedError) -> Failure:
    """A refusal of what stands in a file, with the line of each mistake."""
    return _in_lines(_name(file), read_text(file), refused)


def _in_lines(name: str, text: str, refused: RefusedError) -> Failure:
    if not refused.problems:
        return Failure(Exit.USAGE, f"{refused.title.rstrip('.')}.")
    told = (_told(text, one) for one in refused.problems)
    return Failure(Exit.USAGE, f"{name} cannot be taken:", *told)


def _told(text: str, problem: FieldProblem) -> str:
    line = line_of(text, problem.pointer)
    where = f"line {line}, " if line else ""
    return f"  {where}{problem.pointer}: {problem.detail}"


def _read_bytes(file: str) -> bytes:
    if file != STDIN:
        try:
            with Path(file).open("rb") as source:
                return source.read(BODY_LIMIT + 1)
        except OSError as error:
            raise Failure(Exit.USAGE, f"{file} cannot be read: {error.strerror}.") from None
    if sys.stdin is None:
        raise Failure(Exit.USAGE, "Standard input is closed.")
    if sys.stdin.isatty():
        sys.stderr.write("Reading from the terminal; Ctrl-D on a line of its own ends it.\n")
    return sys.stdin.buffer.read(BODY_LIMIT + 1)


def _name(file: str) -> str:
    return "Standard input" if file == STDIN else file
