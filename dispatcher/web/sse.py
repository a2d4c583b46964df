"""Server-sent events on the wire: how they are written, and how long anybody waits for a reader."""

import asyncio
from collections.abc import Callable
from typing import Final

import orjson
from aiohttp import HttpVersion11, web

COMMENT_EVERY_S: Final = 20.0
RETRY: Final = b"retry: 3000\n\n"
"""How long a reader waits before it comes back, in milliseconds."""
# Who does not read for this long is gone; their place is given up.
WRITE_TIMEOUT_S: Final = 30.0
# Bytes that wait for a reader who then counts as slow.
_BEHIND: Final = 64 * 1024
HEARTBEAT: Final = b": still here\n\n"


async def begin(request: web.Request) -> web.StreamResponse:
    """The response, its headers sent."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Raises TimeoutError or ConnectionError when the reader is gone."""
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


def at_once(request: web.Request, response: web.StreamResponse) -> Callable[[bytes], bool]:
    """A `write` that never waits, for a response whose beginning is written.

    It answers False, and writes nothing, where the reader is slow or gone. Ten thousand readers of one
    event are told in a loop, not by as many tasks.
    """
    transport, chunked = request.transport, response.chunked

    def write_at_once(data: bytes) -> bool:
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > _BEHIND:
            return False
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        return True

    return write_at_once


def event(event_id: int, name: str, data: object) -> bytes:
    """One event; `data` as JSON in one line."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event_id, name.encode(), orjson.dumps(data))
