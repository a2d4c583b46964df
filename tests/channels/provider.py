"""A provider that answers as scripted, over real HTTP on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

# Room for a slow machine to flush its answer before the connection breaks.
_FLUSH_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer. `fault` says where it goes wrong."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Literal["", "hang", "reset", "hang mid-body", "reset mid-body"] = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes


Script = Callable[[Seen], Reply]


class ScriptedProvider:
    """Answers by `script` and remembers every request."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.base_url = ""
        self.script: Script = lambda _: Reply()
        self.arrived = asyncio.Event()
        self._closing = asyncio.Event()

    def answers(self, *replies: Reply) -> None:
        """One reply after the other; the last repeats."""
        left = list(replies)
        self.script = lambda _: left.pop(0) if len(left) > 1 else left[0]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        seen = Seen(
            method=request.method,
            raw_path=request.raw_path,
            headers=request.headers.copy(),
            body=body,
        )
        self.seen.append(seen)
        self.arrived.set()
        reply = self.script(seen)
        if reply.fault in {"hang", "reset"}:
            return await self._break(request, reply.fault)
        if reply.fault:
            response = web.StreamResponse(status=reply.status, headers=reply.headers)
            response.content_length = len(reply.body) + 1000
            await response.prepare(request)
            await response.write(reply.body)
            await asyncio.sleep(_FLUSH_S)
            return await self._break(request, reply.fault, response)
        return web.Response(status=reply.status, body=reply.body or None, headers=reply.headers)

    async def _break(
        self, request: web.Request, fault: str, response: web.StreamResponse | None = None
    ) -> web.StreamResponse:
        if fault.startswith("hang"):
            await self._closing.wait()
        assert request.transport is not None
        request.transport.abort()
        return response or web.Response()

    def close(self) -> None:
        """Let hanging requests go."""
        self._closing.set()


@asynccontextmanager
async def scripted_provider(
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ScriptedProvider]:
    provider = ScriptedProvider()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", provider.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    provider.base_url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield provider
    finally:
        provider.close()
        await runner.cleanup()
