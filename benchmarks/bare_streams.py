"""The reference for banners: an aiohttp server that writes one event to whatever streams are open.

Prints where it listens; `POST /tell` writes the body to every stream.
"""

import asyncio
import sys

import uvloop
from aiohttp import web

from benchmarks.child import until_told

FIRST = b'id: 0\nevent: snapshot\ndata: {"items":[]}\n\n'


class Streams:
    """Open streams, told one after the other."""

    def __init__(self) -> None:
        self._open: list[web.StreamResponse] = []

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(FIRST)
        self._open.append(response)
        await asyncio.Event().wait()
        return response

    async def tell(self, request: web.Request) -> web.Response:
        event = await request.read()
        for response in self._open:
            await response.write(event)
        return web.Response()


async def main() -> None:
    streams = Streams()
    app = web.Application()
    app.router.add_get("/stream", streams.stream)
    app.router.add_post("/tell", streams.tell)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await until_told()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
