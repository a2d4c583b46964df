"""`POST /v1/receipts/{provider}`: raw bytes to the adapter, then stored, then answered.

Never 2xx without storage, so that the provider tries again; never 500 for what somebody sends.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import asyncpg
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from channels.model import ForgedReceiptError, MalformedReceiptError, Receipt, TellsReceipts
from dispatcher.db import open_pool
from dispatcher.failpoints import reach
from dispatcher.metrics import RECEIPTS
from dispatcher.rules.problem import not_found
from dispatcher.stages import track
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.boundary import CONTEXT
from dispatcher.web.reading import RECEIPT_LIMIT, read_bytes
from dispatcher.web.routing import POOL_WAIT_S, Call

_COMPRESSES = "sendgrid"
# Verifying and parsing a megabyte of events takes tens of milliseconds: off the event loop.
_LARGE = 64 * 1024

RESERVED: Final = web.AppKey("receipts_pool", asyncpg.Pool)


async def keep_reserved(app: web.Application) -> AsyncIterator[None]:
    """Connections for what providers tell, which no other request can hold.

    Providers do not ask for ever, and what they tell is the evidence that settles doubt.
    """
    ctx = app[CONTEXT]
    limits = ctx.settings.database
    size = (1, limits.receipts_pool_max)
    pool = await open_pool(ctx.dsn, limits, application_name="tidings-receipts", size=size)
    app[RESERVED] = pool
    yield
    pool.terminate()


class AnyQuery(BaseModel):
    """Parameters are part of what the provider signed; the adapter judges them."""

    model_config = ConfigDict(extra="allow", frozen=True)


async def post_receipts(call: Call[None, AnyQuery]) -> web.Response:
    """Verify, store, answer 204."""
    provider = call.path("provider")
    channel: object = next(
        (item for item in call.ctx.channels.values() if item.provider == provider), None
    )
    if not isinstance(channel, TellsReceipts):
        raise not_found("configured provider that sends receipts")
    compressed = provider == _COMPRESSES
    body = await read_bytes(call.request, limit=RECEIPT_LIMIT, may_be_compressed=compressed)
    try:
        receipts = await _read(call, channel, body)
    except ForgedReceiptError:
        raise WebRefusedError("forged-receipt") from None
    except MalformedReceiptError:
        raise WebRefusedError("malformed-receipt") from None
    await reach("receipts.before_store")
    async with call.request.app[RESERVED].acquire(timeout=POOL_WAIT_S) as conn:
        kept = await track.store(conn, call.ctx, provider, receipts, now=call.ctx.now())
    await reach("receipts.after_store")
    RECEIPTS.labels(provider).inc(kept)
    return web.Response(status=204)


async def _read(call: Call[None, AnyQuery], channel: TellsReceipts, body: bytes) -> list[Receipt]:
    def verify_and_parse() -> list[Receipt]:
        return list(
            channel.receipts(
                raw_path=call.request.raw_path,
                headers=call.request.headers,
                body=body,
                now=call.ctx.now(),
            )
        )

    if len(body) > _LARGE:
        return await asyncio.to_thread(verify_and_parse)
    return verify_and_parse()
