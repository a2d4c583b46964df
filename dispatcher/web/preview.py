"""A dry run: the real accept and the real words, in a transaction that is taken back."""

import asyncpg

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.audience import audience_query
from dispatcher.rules.policy import Severity
from dispatcher.rules.reasons import REASONS
from dispatcher.stages.accept import UpdateIn, accept
from dispatcher.stages.compose import render
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.models import AudienceCount, LintFinding, Preview, RenderingView
from dispatcher.web.routing import POOL_WAIT_S
from dispatcher.web.wordings import fresh_view
from segments.audience import count
from templates.facts import Facts
from templates.render import TemplateError

UPDATE_SQL = """
select u.*, i.subject_title, i.external_id, i.started_at, i.resolved_at
from incident_update u join incident i on i.id = u.incident_id where u.id = $1
"""


async def preview(ctx: Context, body: UpdateIn, *, actor: str) -> Preview:
    """What posting `body` would do. Raises RefusedError exactly where posting would."""
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        transaction = conn.transaction()
        await transaction.start()
        try:
            return await _look_ahead(conn, ctx, body, actor)
        finally:
            await transaction.rollback()


async def _look_ahead(conn: Connection, ctx: Context, body: UpdateIn, actor: str) -> Preview:
    accepted = await accept(conn, ctx, body, actor=actor, now=ctx.now())
    (update,) = await conn.fetch(UPDATE_SQL, accepted.update_id)
    renderings: list[RenderingView] = []
    lint: list[LintFinding] = []
    if not accepted.missing:
        renderings, lint = await _words(conn, ctx, update)
    return Preview(
        mode="dry_run",
        kind=update["kind"],
        missing=list(accepted.missing),
        audience=await _audience(conn, ctx, update),
        renderings=renderings,
        lint=lint,
    )


async def _words(
    conn: Connection, ctx: Context, update: asyncpg.Record
) -> tuple[list[RenderingView], list[LintFinding]]:
    try:
        made, findings = await render(conn, ctx, update, Facts.model_validate(update["facts"]))
    except TemplateError as error:
        raise WebRefusedError("cannot-be-worded", str(error)) from None
    return [fresh_view(item) for item in made], [
        LintFinding(
            rule=item.rule,
            level=item.level,
            channel=item.channel,
            segment=item.segment,
            part=item.part,
            detail=item.detail,
        )
        for item in findings
    ]


async def _audience(conn: Connection, ctx: Context, update: asyncpg.Record) -> list[AudienceCount]:
    query = audience_query(
        ctx.policy,
        ctx.segment_rules,
        severity=Severity(update["severity"]),
        visibility=update["visibility"],
        component_ids=update["component_ids"],
        audience=update["audience"],
    )
    return [
        AudienceCount(
            segment=row.segment,
            channel=ChannelKind.from_code(row.channel),
            reason=REASONS[row.reason].code or None,
            people=row.n,
        )
        for row in await count(conn, query, ctx.now())
    ]
