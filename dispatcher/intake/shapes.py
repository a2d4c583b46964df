"""Reading what others send: unknown fields are fine, what is used must be what it should be."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from dispatcher.intake.model import MalformedError

_LONGEST_KEY: Final = 4000


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and where it stands. What is null counts as left out."""

    value: Any
    pointer: str = ""

    def get(self, name: str) -> "Node | None":
        """The member, None where it is left out. Raises MalformedError unless this is an object."""
        if not isinstance(self.value, dict):
            raise MalformedError(self.pointer, "must be an object")
        value = self.value.get(name)
        return None if value is None else Node(value, self._below(name))

    def need(self, name: str) -> "Node":
        """The member. Raises MalformedError where it is left out."""
        found = self.get(name)
        if found is None:
            raise MalformedError(self._below(name), "is missing")
        return found

    def _below(self, name: str) -> str:
        return f"{self.pointer}/{name.replace('~', '~0').replace('/', '~1')}"

    def at(self, *names: str) -> "Node | None":
        """A member of members, None where one of them is left out."""
        found: Node | None = self
        for name in names:
            found = found.get(name) if found else None
        return found

    def text(self, *names: str) -> str:
        """This, or a member of members, as text; '' where it is left out."""
        found = self.at(*names)
        if found is None:
            return ""
        if not isinstance(found.value, str):
            raise MalformedError(found.pointer, "must be a text")
        return found.value

    def name(self, *names: str) -> str:
        """As `text`, but it must be there and not be empty: it is an identifier."""
        node = self
        for part in names:
            node = node.need(part)
        found = node.text()
        if not found.strip() or len(found) > _LONGEST_KEY:
            raise MalformedError(node.pointer, f"must have 1 to {_LONGEST_KEY} characters")
        return found

    def flag(self, name: str) -> bool | None:
        """A member as true or false, None where it is left out."""
        found = self.get(name)
        if found is None:
            return None
        if not isinstance(found.value, bool):
            raise MalformedError(found.pointer, "must be true or false")
        return found.value

    def whole(self, name: str) -> int:
        """A member as a whole number, 0 where it is left out."""
        found = self.get(name)
        if found is None:
            return 0
        if type(found.value) is not int:
            raise MalformedError(found.pointer, "must be a whole number")
        return found.value

    def items(self, name: str) -> "list[Node]":
        """A member as a list, empty where it is left out."""
        found = self.get(name)
        if found is None:
            return []
        if not isinstance(found.value, list):
            raise MalformedError(found.pointer, "must be a list")
        return [Node(value, f"{found.pointer}/{place}") for place, value in enumerate(found.value)]

    def when(self, name: str) -> datetime | None:
        """A member as a moment, None where it is left out."""
        found = self.get(name)
        return found.moment() if found else None

    def moment(self) -> datetime:
        """This text as a moment with its zone, in UTC."""
        try:
            found = datetime.fromisoformat(self.text())
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise MalformedError(
            self.pointer, "must be a time with a zone, such as 2026-01-31T12:00:00Z"
        )


def code(text: str) -> str:
    """Ten characters that stand for a text and tell nothing of it: it may hold names of machines."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10].upper()


def read_json(body: bytes) -> Node:
    """The body as JSON. Raises MalformedError."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedError("", "is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedError("", "must be an object")
    return Node(value)


# What may not stand in a text of ours, see templates/plain.py; here it is taken out, not refused.
_UNWANTED: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufffe\uffff\ud800-\udfff]"
)


def plain(text: str, longest: int) -> str:
    """The text without characters that cannot be shown, cut with an ellipsis where it is too long."""
    clean = _UNWANTED.sub(" ", text.replace("\r\n", "\n")).strip()
    return clean if len(clean) <= longest else clean[: longest - 1].rstrip() + "…"


def line(text: str, longest: int = 200) -> str:
    """As `plain`, on one line."""
    return plain(" ".join(text[: longest * 4].split()), longest)


def lines(parts: Sequence[str]) -> str:
    """Those that are not empty, one below the other."""
    return "\n".join(part for part in parts if part)
