"""ETag and If-Match: who changes something says which version they have seen (RFC 9110, 13.1)."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from dispatcher.web.answers import WebRefusedError

_TAGS: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')


def etag_of(content: BaseModel) -> str:
    """The strong tag of a thing as it is shown: it changes when anything that is shown does.

    A model names in BY_ITSELF what changes without anybody deciding it, such as when a source last spoke:
    what somebody has seen is not another version for that.
    """
    text = content.model_dump_json(exclude=getattr(content, "BY_ITSELF", None))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def is_known(request: web.Request, etag: str) -> bool:
    """Whether If-None-Match says that the caller has this version."""
    given = request.headers.get("If-None-Match", "")
    return given.strip() == "*" or etag in {tag.removeprefix("W/") for tag in _TAGS.findall(given)}


@dataclass(frozen=True, slots=True)
class IfMatch:
    """Which version somebody has seen, as they wrote it: a tag, some, or `*` for whichever it is."""

    given: str | None

    def names(self, etag: str) -> bool:
        """Whether it is this version."""
        given = (self.given or "").strip()
        # A weak tag never matches here: RFC 9110, 13.1.1.
        return given == "*" or etag in _TAGS.findall(given)

    def require(self, seen: BaseModel) -> None:
        """Raises WebRefusedError: 428 where nothing was said, 412 when it is not that version."""
        if self.given is None:
            raise WebRefusedError("if-match-missing")
        if not self.names(etag_of(seen)):
            raise WebRefusedError("changed-meanwhile", headers={"ETag": etag_of(seen)})


def if_match(request: web.Request) -> IfMatch:
    """What the request says of the version it is about."""
    return IfMatch(request.headers.get("If-Match"))


def require_match(request: web.Request, seen: BaseModel) -> None:
    """Raises WebRefusedError: 428 without If-Match, 412 when the thing is not as the caller saw it.

    Call it with the thing as a GET would show it, in the transaction that holds its row.
    """
    if_match(request).require(seen)
