"""Where faults meet providers: each request passes here on its way in and out."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from zlib import crc32

from aiohttp import web

from dispatcher.sandbox.faults import (
    AcceptThenHtml,
    AcceptThenReset,
    Call,
    CredentialsRevoked,
    HalfAccept,
    HtmlBody,
    RateLimit,
    ReceiptFirst,
    ResetBeforeAccept,
    Slow,
    StatusFault,
    TruncatedBody,
)
from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.world import Asked, ProviderServer, Reply, World

Serve = Callable[[Asked], Reply]
Handler = Callable[[web.Request], Awaitable[web.Response]]

_ERROR_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n"
_REFUSED = 300
_UNAUTHORISED = 401
_TOO_MANY_REQUESTS = 429


class _ResetConnectionError(Exception):
    """The client is to see its connection reset."""


class Gateway:
    """The doors of one provider."""

    def __init__(self, world: World, provider: Provider, server: ProviderServer) -> None:
        self._world = world
        self._provider = provider
        self._server = server
        self._in_flight = 0

    def door(self, call: Call, serve: Serve) -> Handler:
        """An aiohttp handler around `serve`."""

        async def handle(request: web.Request) -> web.Response:
            self._in_flight += 1
            try:
                return _response(await self._answer(request, call, serve))
            except _ResetConnectionError:
                _reset(request)
                return web.Response()
            finally:
                self._in_flight -= 1

        return handle

    async def _answer(self, request: web.Request, call: Call, serve: Serve) -> Reply:
        strike = self._world.faults.strike
        body = await request.read()
        pause = self._latency(body)
        refused = await self._before(call)
        await asyncio.sleep(pause / 2)
        if refused is not None:
            return refused
        half = strike(self._provider, HalfAccept, call)
        reply = serve(
            Asked(
                call=call,
                path=request.path_qs,
                params=request.match_info,
                query=request.query,
                headers=request.headers,
                body=body,
                in_flight=self._in_flight,
                take=half.accept if half else None,
            )
        )
        await self._call_back(reply)
        await asyncio.sleep(pause / 2)
        if half is not None:
            raise _ResetConnectionError
        return self._after(call, reply)

    def _latency(self, body: bytes) -> float:
        settings = self._world.settings
        if not settings.latency and not settings.latency_jitter:
            return 0.0
        spread = self._world.chance.draws(f"latency {crc32(body)}").fate * 2 - 1
        return max(0.0, settings.latency + spread * settings.latency_jitter)

    async def _before(self, call: Call) -> Reply | None:
        """Faults that strike before anything is processed."""
        strike, provider = self._world.faults.strike, self._provider
        if slow := strike(provider, Slow, call):
            await asyncio.sleep(slow.seconds)
        if strike(provider, ResetBeforeAccept, call):
            raise _ResetConnectionError
        if strike(provider, CredentialsRevoked, call):
            return self._server.refuse(_UNAUTHORISED, None)
        if storm := strike(provider, StatusFault, call):
            return self._server.refuse(storm.status, storm.retry_after)
        if limit := strike(provider, RateLimit, call):
            return self._server.refuse(_TOO_MANY_REQUESTS, limit.retry_after)
        if page := strike(provider, HtmlBody, call):
            return Reply(page.status, _ERROR_PAGE, content_type="text/html")
        return None

    async def _call_back(self, reply: Reply) -> None:
        if reply.receipts is None:
            return
        if self._world.faults.strike(self._provider, ReceiptFirst):
            await reply.receipts.now()
        else:
            reply.receipts.later()

    def _after(self, call: Call, reply: Reply) -> Reply:
        """Faults that strike what has been processed."""
        strike, provider = self._world.faults.strike, self._provider
        if reply.status >= _REFUSED:
            return reply
        if strike(provider, AcceptThenReset, call):
            raise _ResetConnectionError
        if strike(provider, TruncatedBody, call):
            kept = {name: value for name, value in reply.headers.items() if name != "X-Message-Id"}
            return Reply(reply.status, reply.body[: len(reply.body) // 2], kept)
        if page := strike(provider, AcceptThenHtml, call):
            return Reply(page.status, _ERROR_PAGE, content_type="text/html")
        return reply


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status,
        body=reply.body,
        headers=reply.headers,
        content_type=reply.content_type if reply.body else None,
    )


def _reset(request: web.Request) -> None:
    """Close with RST, so that the client cannot take it for an orderly end."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
