"""`GET /v1/banner/stream`: server-sent events, a snapshot first or what changed since Last-Event-ID."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web

from dispatcher.context import Context
from dispatcher.web import sse
from dispatcher.web.banner.cors import check_origin
from dispatcher.web.banner.hub import HUB, Hub
from dispatcher.web.banner.items import Item, find_viewer
from dispatcher.web.banner.subscriber import Subscriber
from dispatcher.web.banner.token import User, read_banner_token
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.routing import POOL_WAIT_S, Plain

log = structlog.get_logger(__name__)

_EVENT_ID: Final = re.compile(r"[0-9]{1,18}")


async def get_stream(call: Plain) -> web.StreamResponse:
    """Until the token ends, the client goes, or the process stops. 204: there is nothing to wait for."""
    ctx, request = call.ctx, call.request
    check_origin(request, ctx)
    user = read_banner_token(ctx, request.headers.get("Authorization"), ctx.now())
    hub = request.app[HUB]
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        viewer = await find_viewer(conn, ctx, user.app_user, user.account)
    if viewer is None:
        return web.Response(status=204)
    async with hub.subscription(viewer, (user.account, user.app_user)) as subscriber:
        given = request.headers.get("Last-Event-ID", "")
        first = await _beginning(hub, subscriber, given)
        response = await sse.begin(request)
        try:
            await sse.write(response, sse.RETRY + first)
            subscriber.follow(sse.at_once(request, response))
            await _send_changes(ctx, hub, subscriber, user, response)
        except (ConnectionError, TimeoutError):
            log.debug("banner.reader_gone")
    return response


async def _beginning(hub: Hub, subscriber: Subscriber, last_event_id: str) -> bytes:
    if _EVENT_ID.fullmatch(last_event_id):
        changes = await hub.replay(subscriber, int(last_event_id))
        if changes is not None:
            return b"".join(change.event for change in changes)
    return _snapshot(*await hub.snapshot(subscriber))


async def _send_changes(
    ctx: Context, hub: Hub, subscriber: Subscriber, user: User, response: web.StreamResponse
) -> None:
    while (left := (user.until - ctx.now()).total_seconds()) > 0:
        subscriber.caught_up()
        try:
            change = await asyncio.wait_for(subscriber.queue.get(), min(sse.COMMENT_EVERY_S, left))
        except TimeoutError:
            await sse.write(response, sse.HEARTBEAT)
            continue
        if change is None:
            return
        if not subscriber.resync:
            await sse.write(response, change.event)
            continue
        subscriber.resync = False
        try:
            snapshot = _snapshot(*await hub.snapshot(subscriber))
        except Exception as error:
            if not is_database_trouble(error):
                raise
            return  # the client comes back and starts with a snapshot
        await sse.write(response, snapshot)


def _snapshot(event_id: int, items: Sequence[Item]) -> bytes:
    return sse.event(
        event_id, "snapshot", {"items": [item.model_dump(mode="json") for item in items]}
    )
