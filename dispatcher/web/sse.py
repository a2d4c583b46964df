"""Server-sent events on the wire: how they are written, and how long anybody waits for a reader."""

import asyncio
from typing import Final

import orjson
from aiohttp import web

COMMENT_EVERY_S: Final = 20.0
RETRY: Final = b"retry: 3000\n\n"
"""How long a reader waits before it comes back, in milliseconds."""
# Who does not read for this long is gone; their place is given up.
WRITE_TIMEOUT_S: Final = 30.0
HEARTBEAT: Final = b": still here\n\n"


async def begin(request: web.Request) -> web.StreamResponse:
    """The response, its headers sent."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    return response


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Raises TimeoutError or ConnectionError when the reader is gone."""
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


def event(event_id: int, name: str, data: object) -> bytes:
    """One event; `data` as JSON in one line."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event_id, name.encode(), orjson.dumps(data))
