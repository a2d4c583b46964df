"""Reading what a person wrote in YAML or JSON."""

import sys
from pathlib import Path
from typing import Any

import orjson
import yaml

from dispatcher.cli.base import Exit, Failure


def read_text(file: str) -> str:
    """The text in a file; `-` is standard input. Raises Failure."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(Exit.USAGE, f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Failure(Exit.USAGE, f"{file} is not UTF-8 text.") from None


def read_document(file: str) -> Any:
    """YAML (and so JSON) as JSON values; `-` is standard input. Raises Failure."""
    text = read_text(file)
    try:
        # Through JSON, so that a time written in YAML is the text the API would have been sent.
        return orjson.loads(orjson.dumps(yaml.safe_load(text)))
    except yaml.YAMLError as error:
        raise Failure(Exit.USAGE, f"{file} is neither YAML nor JSON: {error}") from None
    except TypeError as error:
        raise Failure(
            Exit.USAGE, f"{file} holds a value that JSON does not have: {error}."
        ) from None
