"""Thousands of open banner streams in one process of their own.

    python -m benchmarks.viewers URL COUNT [FILE]

FILE has a line for each: its bearer token. Prints `ready` once all have their first event, and, when
every one has got an `upsert`, one JSON list of the Unix times at which they did.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import orjson
import uvloop

from benchmarks.child import until_told
from benchmarks.wire import prepare

OPENING_AT_ONCE = 50


class Viewer(asyncio.Protocol):
    """One stream; resolves `ready` with the first event and `told` with the first upsert."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._seen = b""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.told: asyncio.Future[float] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self._seen += data
            if b"event: snapshot" in self._seen:
                self.ready.set_result(None)
            elif b" 200 " not in self._seen[:20]:
                self.ready.set_exception(RuntimeError(self._seen[:300].decode()))
        elif not self.told.done() and b"event: upsert" in data:
            self.told.set_result(time.time())


async def main(url: str, tokens: Sequence[str]) -> None:
    """Open one stream for each token and tell when each was told."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(token: str) -> Viewer:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
        request = prepare("GET", url, headers)
        async with places:
            _, viewer = await loop.create_connection(
                lambda: Viewer(request), parts.hostname or "", parts.port or 80
            )
            await viewer.ready
        return viewer

    async def follow() -> None:
        viewers = await asyncio.gather(*(open_one(token) for token in tokens))
        print("ready", flush=True)
        times = await asyncio.gather(*(viewer.told for viewer in viewers))
        print(orjson.dumps(sorted(times)).decode(), flush=True)

    following = asyncio.create_task(follow())
    told = asyncio.create_task(until_told())
    await asyncio.wait([following, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if following.done():
        following.result()
    following.cancel()


if __name__ == "__main__":
    where, count, *file = sys.argv[1:]
    given = Path(file[0]).read_text().split() if file else [""] * int(count)
    uvloop.run(main(where, given))
