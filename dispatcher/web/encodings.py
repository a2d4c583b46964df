"""What is the same for everybody, compressed once: scripts, style sheets, the description of the API."""

import asyncio
import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from aiohttp import web

_GZIP: Final = "gzip"
_CODING: Final = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Unchanging:
    """A text that stays as it is while this process runs, and what it is."""

    text: bytes
    content_type: str

    @cached_property
    def compressed(self) -> bytes:
        """As gzip, the same bytes in every process; takes a tenth of a second a megabyte, once."""
        return gzip.compress(self.text, 9, mtime=0)

    @cached_property
    def _tag(self) -> str:
        return hashlib.sha256(self.text).hexdigest()[:32]

    async def answer(self, request: web.Request, *, fresh_s: int) -> web.Response:
        """The text in the coding that the caller takes, or 304 when they have that."""
        zipped = takes_gzip(request.headers.get("Accept-Encoding", ""))
        # Each coding is bytes of its own, so its tag is its own too (RFC 9110, 8.8.3).
        tag = f"{self._tag}-{_GZIP}" if zipped else self._tag
        headers = {
            "ETag": f'"{tag}"',
            "Cache-Control": f"public, max-age={fresh_s}",
            "Vary": "Accept-Encoding",
        }
        if any(known.value in {tag, "*"} for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self.content_type
        if not zipped:
            return web.Response(body=self.text, headers=headers)
        # The first time it takes a while, and others are served meanwhile.
        body = await asyncio.to_thread(lambda: self.compressed)
        return web.Response(body=body, headers={**headers, "Content-Encoding": _GZIP})


def takes_gzip(accepted: str) -> bool:
    """Whether this Accept-Encoding lets gzip be sent (RFC 9110, 12.5.3)."""
    weights = {
        found[1].lower(): _weight(found[2])
        for part in accepted.split(",")
        if (found := _CODING.fullmatch(part))
    }
    return weights.get(_GZIP, weights.get("*", 0.0)) > 0


def _weight(given: str | None) -> float:
    try:
        return 1.0 if given is None else float(given)
    except ValueError:
        return 0.0
