"""The look itself: words, people, costs and what stands in the way, of one revision."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.reasons import REASONS
from dispatcher.stages.accept.body import ENDED
from dispatcher.stages.accept.revise import Revision, concerns_nobody
from dispatcher.stages.compose import render
from dispatcher.web import preview_findings as findings
from dispatcher.web.preview_costs import sms_size, totals
from dispatcher.web.preview_models import (
    AudienceCount,
    LintFinding,
    Preview,
    PreviewRendering,
    SlotView,
)
from dispatcher.web.wordings import fresh_view
from segments.audience import CountRow, count
from segments.dialled import Dialled, dialled
from templates.lint import Finding
from templates.render import Rendering, TemplateError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is looked at: a revision, and the other columns of the row it is or would be.

    `told`: something of the incident left before it. `version`: of the draft, where it is one.
    """

    revision: Revision
    row: Mapping[str, Any]
    told: bool
    overtaken: bool = False
    version: str | None = None


async def look_ahead(conn: Connection, ctx: Context, step: Step, now: datetime) -> Preview:
    """What would leave. In the caller's transaction, which only reads."""
    revision = step.revision
    empty = await _in_time(concerns_nobody(conn, ctx, revision, now))
    made, lint, unwordable = await _words(conn, ctx, step)
    renderings = [_rendering_view(item) for item in made]
    counted = await _in_time(count(conn, revision.audience_query(ctx), now))
    audience = [_count_view(row) for row in counted or ()]
    costs = None
    if counted is not None and renderings:
        texts = await _in_time(_texts(conn, ctx, revision, audience, now))
        if texts is not None:
            costs = totals(audience, renderings, texts, ctx.settings.sms_prices)
    found = [
        *findings.about_state(revision, now, told=step.told, overtaken=step.overtaken),
        *findings.about_words(unwordable, renderings, ctx.channels),
        *findings.about_people(empty=empty is True, counted=counted is not None),
        *findings.about_costs(costs),
    ]
    return Preview(
        mode="dry_run" if step.version is None else "draft",
        version=step.version,
        kind=revision.kind,
        ready="error" not in {*(item.level for item in found), *(item.level for item in lint)},
        missing=revision.missing,
        findings=found,
        audience=audience,
        totals=costs,
        renderings=renderings,
        lint=[_lint_view(item) for item in lint],
    )


async def _in_time(work: Awaitable[T]) -> T | None:
    """None where the statement took longer than it may."""
    try:
        return await work
    except asyncpg.QueryCanceledError:
        return None


async def _words(
    conn: Connection, ctx: Context, step: Step
) -> tuple[list[Rendering], list[Finding], str]:
    """Renderings, what lint says of them, and why there are none."""
    revision = step.revision
    if revision.facts.missing(resolved=revision.status in ENDED):
        return [], [], ""
    update = {
        **step.row,
        "kind": revision.kind,
        "status": revision.status,
        "severity": int(revision.severity),
        "visibility": revision.visibility,
        "internal": revision.internal,
        "audience": revision.audience,
    }
    try:
        return *await render(conn, ctx, update, revision.facts), ""
    except TemplateError as error:
        return [], [], str(error)


async def _texts(
    conn: Connection,
    ctx: Context,
    revision: Revision,
    audience: Sequence[AudienceCount],
    now: datetime,
) -> list[Dialled]:
    """Texts by how their numbers begin, as far as that decides what they cost."""
    told = [row for row in audience if row.channel == ChannelKind.SMS and row.reason is None]
    length = ctx.settings.sms_prices.longest_prefix
    if not told or not length:
        return [Dialled(row.segment, "", row.people) for row in told]
    return await dialled(conn, revision.audience_query(ctx), now, length=length)


def _rendering_view(rendering: Rendering) -> PreviewRendering:
    return PreviewRendering(
        **fresh_view(rendering).model_dump(),
        slots=[
            SlotView(
                name=slot.name, part=slot.part, max_length=slot.max_length, fallback=slot.fallback
            )
            for slot in rendering.slots
            if slot.part != "html"
        ],
        sms=sms_size(rendering) if rendering.channel is ChannelKind.SMS else None,
        weighted_length=rendering.weighted_length,
    )


def _count_view(row: CountRow) -> AudienceCount:
    words = REASONS[row.reason]
    return AudienceCount(
        segment=row.segment,
        channel=ChannelKind.from_code(row.channel),
        reason=words.code or None,
        reason_text=words.text or None,
        people=row.n,
    )


def _lint_view(item: Finding) -> LintFinding:
    return LintFinding(
        rule=item.rule,
        level=item.level,
        channel=item.channel,
        segment=item.segment,
        part=item.part,
        detail=item.detail,
    )
