"""The inspector: what came from a source lately, what it became, and processing it again."""

from collections.abc import Mapping
from typing import Any

import orjson

from dispatcher.context import Context
from dispatcher.intake import events, sources
from dispatcher.intake.events import Seen
from dispatcher.rules.problem import not_found
from dispatcher.seal import BrokenSealError
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.ids import EVENT, INCIDENT, SOURCE, UPDATE, number_of
from dispatcher.web.intake.door import Delivered, process
from dispatcher.web.intake.models import EventPage, EventView, ReplayIn
from dispatcher.web.lists import PageQuery, page_reply, position
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call


async def list_all(call: Call[None, PageQuery]) -> Reply:
    """Newest first, with masked payloads."""
    number = number_of(call.ctx, SOURCE, call.path("source_id"))
    before = position(call.query, (int,))
    async with call.connection() as conn:
        if await sources.find(conn, number) is None:
            raise not_found("source")
        rows = await events.list_events(
            conn, number, before=before[0] if before else None, limit=call.query.limit + 1
        )
    views = [event_view(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row.id,) for row in rows], EventPage)


async def post_replay(call: Call[ReplayIn, NoQuery]) -> Reply:
    """Process an event again; what it became already is answered, unless it is forced."""
    number = number_of(call.ctx, SOURCE, call.path("source_id"))
    return await replay(
        call.ctx, call.path("event_id"), source=number, forced=call.body.force, actor=call.actor
    )


async def replay(
    ctx: Context, public: str, *, source: int | None = None, forced: bool, actor: str
) -> Reply:
    """As `post_replay`; `source` None takes an event of any. Raises RefusedError."""
    number = number_of(ctx, EVENT, public)
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        try:
            stored = await events.stored_request(conn, ctx, number)
        except BrokenSealError:
            raise WebRefusedError("source-unreadable") from None
        owner = await sources.find(conn, stored[0]) if stored else None
    if stored is None or owner is None or source not in {None, owner.id}:
        raise not_found("event")
    if stored[1] is None:
        raise WebRefusedError("event-not-kept")
    return await process(
        ctx,
        Delivered(source=owner, request=stored[1], actor=actor, replay_of=number, forced=forced),
    )


def event_view(ctx: Context, seen: Seen) -> EventView:
    """As the API shows it."""
    result: Mapping[str, Any] = seen.result or {}
    public = ctx.signer.public_id
    made = "update_id" in result
    return EventView(
        id=public(EVENT, seen.id),
        at=seen.at,
        outcome=seen.outcome,
        detail=seen.detail,
        became=result.get("became"),
        incident_id=public(INCIDENT, result["incident_id"]) if made else None,
        update_id=public(UPDATE, result["update_id"]) if made else None,
        replay_of=public(EVENT, seen.replay_of) if seen.replay_of is not None else None,
        payload=orjson.loads(seen.shown) if seen.shown else None,
    )
