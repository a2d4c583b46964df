"""Looking ahead: what a draft, or a body not posted, would say, to how many, and for how much.

One transaction that only reads, in one snapshot: no row is locked, so nobody who posts waits for it. Each
statement has a time-out of its own; what takes longer is left out, and a finding says so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.accept import UpdateIn
from dispatcher.stages.accept.edit import with_kind
from dispatcher.stages.accept.revise import (
    Revision,
    refuse_empty_audience,
    revise,
    revision_of,
)
from dispatcher.web.drafts.views import draft_row, draft_view
from dispatcher.web.etags import etag_of
from dispatcher.web.preview_look import Step, look_ahead
from dispatcher.web.preview_models import Preview
from dispatcher.web.routing import POOL_WAIT_S

PREVIEWS: Final = web.AppKey("previews", asyncio.Semaphore)
"""How many may look ahead at once in a web process; others wait, and hold no connection."""

INCIDENT_SQL = """
select i.id, i.external_id, i.severity, i.visibility, i.component_ids, i.last_seq, i.subject_title,
       i.started_at, exists (select from incident_update u where u.incident_id = i.id
                             and u.state not in ('draft', 'cancelled')) as told
from incident i where i.source = $1 and i.external_id = $2
"""
TIMEOUT_SQL = "select set_config('statement_timeout', $1, true)"


async def preview(ctx: Context, body: UpdateIn) -> Preview:
    """What posting `body` would do. Raises RefusedError exactly where posting would."""
    now = ctx.now()
    async with _reading(ctx) as conn:
        step = await _step_of_body(conn, ctx, body, now)
        if not step.revision.missing:
            await refuse_empty_audience(conn, ctx, step.revision, now)
        found = await look_ahead(conn, ctx, step, now)
    unwordable = [item.detail for item in found.findings if item.code == "cannot-be-worded"]
    if unwordable:
        raise RefusedError(422, "cannot-be-worded", unwordable[0])
    return found


async def preview_draft(ctx: Context, public: str) -> Preview:
    """What submitting a draft would do; what would refuse it is a finding. Raises RefusedError: 404."""
    async with _reading(ctx) as conn:
        row = await draft_row(conn, ctx, public)
        step = Step(
            revision=await with_kind(conn, row["incident_id"], revision_of(dict(row))),
            row=dict(row),
            told=row["told"],
            overtaken=row["overtaken"],
            version=etag_of(await draft_view(conn, ctx, row)),
        )
        return await look_ahead(conn, ctx, step, ctx.now())


async def revision_of_body(
    conn: Connection, ctx: Context, body: UpdateIn, now: datetime
) -> Revision:
    """What posting `body` would store; nothing is. Raises RefusedError for a wrong field."""
    return (await _step_of_body(conn, ctx, body, now)).revision


@asynccontextmanager
async def _reading(ctx: Context) -> AsyncIterator[Connection]:
    timeout_ms = round(ctx.settings.preview.statement_timeout_s * 1000)
    async with (
        ctx.pool.acquire(timeout=POOL_WAIT_S) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        await conn.execute(TIMEOUT_SQL, str(timeout_ms))
        yield conn


async def _step_of_body(conn: Connection, ctx: Context, body: UpdateIn, now: datetime) -> Step:
    row = await conn.fetchrow(INCIDENT_SQL, body.source, body.incident.external_id)
    # As accepting would make it; no number is given away before that.
    new: dict[str, Any] = {"id": 0, "severity": 1, "visibility": "customers", "component_ids": []}
    new |= {"last_seq": 0, "subject_title": "", "started_at": now, "told": False}
    incident = dict(row) if row else new
    return Step(
        revision=await revise(conn, ctx, body, incident, now),
        row={
            "incident_id": incident["id"],
            "external_id": body.incident.external_id,
            "seq": incident["last_seq"] + 1,
            "subject_title": incident["subject_title"],
            "started_at": incident["started_at"],
            "at": now,
        },
        told=incident["told"],
    )
