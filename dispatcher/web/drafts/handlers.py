"""Drafts over HTTP."""

from typing import Any

from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import not_found
from dispatcher.stages.accept import DraftPatch
from dispatcher.web.answers import Reply
from dispatcher.web.drafts.actions import Decider
from dispatcher.web.drafts.models import (
    DiscardQuery,
    DraftPage,
    DraftQuery,
    DraftRevision,
    RevisionPage,
)
from dispatcher.web.drafts.views import LIST_SQL, find_draft, summary_view
from dispatcher.web.etags import etag_of, if_match
from dispatcher.web.ids import INCIDENT, UPDATE, number_of
from dispatcher.web.lists import PageQuery, page_reply, position
from dispatcher.web.preview import PREVIEWS, preview_draft
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Call, Plain

REVISIONS_SQL = """
select number, at, made_by, action, fields, former from draft_revision
where update_id = $1 and ($2::bigint is null or number < $2) order by number desc limit $3
"""
EXISTS_SQL = "select exists (select from incident_update where id = $1)"


async def list_drafts(call: Call[None, DraftQuery]) -> Reply:
    """What waits for somebody, newest first."""
    ctx, query = call.ctx, call.query
    before = position(query, (int,))
    incident = None if query.incident is None else number_of(ctx, INCIDENT, query.incident)
    async with call.connection() as conn:
        rows = await conn.fetch(
            LIST_SQL,
            before and before[0],
            incident,
            query.source,
            None if query.severity is None else Severity[query.severity],
            query.limit + 1,
        )
    views = [summary_view(ctx, row) for row in rows]
    return page_reply(call, views, [(row["id"],) for row in rows], DraftPage)


async def get_draft(call: Plain) -> Reply:
    """All of a draft, with the ETag that If-Match names."""
    async with call.connection() as conn:
        return Reply(await find_draft(conn, call.ctx, call.path("update_id")))


async def list_revisions(call: Call[None, PageQuery]) -> Reply:
    """What was done to a draft, newest first; of one that was sent or discarded as well."""
    number = number_of(call.ctx, UPDATE, call.path("update_id"))
    before = position(call.query, (int,))
    async with call.connection() as conn:
        if not await conn.fetchval(EXISTS_SQL, number):
            raise not_found("draft")
        rows = await conn.fetch(REVISIONS_SQL, number, before and before[0], call.query.limit + 1)
    views = [DraftRevision(**dict(row)) for row in rows]
    return page_reply(call, views, [(row["number"],) for row in rows], RevisionPage)


async def patch_draft(call: Call[DraftPatch, NoQuery]) -> Reply:
    """Change what is given, of the version that If-Match names; the answer has the next one's ETag."""
    view = await _decider(call).edit(call.body)
    return Reply(view, headers={"ETag": etag_of(view)})


async def post_preview(call: Plain) -> Reply:
    """What submitting it now would do; nothing is stored, and nobody who posts waits for it."""
    async with call.request.app[PREVIEWS]:
        return Reply(await preview_draft(call.ctx, call.path("update_id")))


async def submit_draft(call: Plain) -> Reply:
    """Send the version that If-Match names; asked again, it is told again and not sent again."""
    view, before = await _decider(call).submit()
    if before:
        return Reply(view, headers={"Idempotency-Replayed": "true"})
    return Reply(view, 202, {"Location": view.links.location})


async def discard_draft(call: Call[None, DiscardQuery]) -> Reply:
    """The version that If-Match names shall not leave."""
    return Reply(await _decider(call).discard(call.query.why))


def _decider(call: Call[Any, Any]) -> Decider:
    return Decider(
        ctx=call.ctx,
        public=call.path("update_id"),
        match=if_match(call.request),
        actor=call.actor,
    )
