"""Compose: facts become renderings, once per segment × channel × locale. No template runs per recipient."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import AWAY, Connection, one_row
from dispatcher.failpoints import reach
from dispatcher.ids import PAGE_KINDS
from dispatcher.jobs import Event, publish
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import RefusedError
from templates.facts import Facts, Internal, changed
from templates.lint import Finding, Level, lint
from templates.render import Kind, Occasion, Rendering, TemplateError, compose
from templates.slots import new_tag_prefix, slots_to_json

PUBLISHES = ("update.composed",)
log = structlog.get_logger(__name__)

READ_SQL = """
select u.*, i.subject_title, i.external_id, i.started_at, i.resolved_at
from incident_update u join incident i on i.id = u.incident_id
where u.id = $1 and u.state = 'accepted'
"""
CLAIM_SQL = READ_SQL + " for update of u, i"
PREVIOUS_SQL = """
select facts from incident_update
where incident_id = $1 and seq < $2 and state not in ('draft', 'cancelled')
  and not ($3 = 'resolved' and kind = 'resolved')
order by seq desc limit 1
"""
STORE_SQL = """
insert into rendering (update_id, segment, channel, locale, parts, slots, hash, units)
select $1, r.* from jsonb_to_recordset($2) as r(
    segment text, channel smallint, locale text, parts jsonb, slots jsonb, hash text, units smallint)
on conflict do nothing
"""
COMPOSED_SQL = """
update incident_update set state = $2, state_detail = $3 where id = $1 and state = 'accepted'
"""
TITLE_SQL = "update incident set subject_title = $2 where id = $1 and subject_title = ''"


async def run(ctx: Context, update_id: int) -> None:
    """Render one accepted update; wording that cannot be made stops it visibly, with the reason.

    What breaks over it now would break over it again: an error of ours stops it, too.
    """
    try:
        await _compose(ctx, update_id)
    except AWAY:
        raise
    except Exception as error:
        log.exception("compose_broke", update_id=update_id)
        why = f"this program failed to word it ({type(error).__name__}): see the log, and report it"
        await ctx.pool.execute(COMPOSED_SQL, update_id, "failed", why)


async def _compose(ctx: Context, update_id: int) -> None:
    async with ctx.pool.acquire() as conn, conn.transaction():
        update = await conn.fetchrow(CLAIM_SQL, update_id)
        if update is None:
            return
        facts = Facts.model_validate(update["facts"])
        try:
            renderings, findings = await render(conn, ctx, dict(update), facts)
        except TemplateError as error:
            log.warning("compose_failed", update_id=update_id, error=str(error))
            await conn.execute(COMPOSED_SQL, update_id, "failed", str(error))
            return
        if errors := _in_the_way(findings):
            log.warning("lint_failed", update_id=update_id, findings=errors)
            await conn.execute(COMPOSED_SQL, update_id, "failed", "; ".join(errors))
            return
        await _store(conn, update_id, renderings)
        await conn.execute(TITLE_SQL, update["incident_id"], facts.title)
        await conn.execute(COMPOSED_SQL, update_id, "composed", "")
        await publish(conn, [Event("update.composed", update_id, priority=10 - update["severity"])])
        await reach("compose.before_commit")


async def refuse_unwordable(conn: Connection, ctx: Context, update_id: int) -> None:
    """Say at the door what would fail here: RefusedError when no words can be made for an update."""
    update = await one_row(conn, READ_SQL, update_id)
    try:
        _, findings = await render(conn, ctx, dict(update), Facts.model_validate(update["facts"]))
    except TemplateError as error:
        raise RefusedError(422, "cannot-be-worded", str(error)) from error
    if errors := _in_the_way(findings):
        raise RefusedError(422, "cannot-be-worded", "; ".join(errors))


def _in_the_way(findings: Sequence[Finding]) -> list[str]:
    """What lint does not let leave, each fault once, however many wordings have it."""
    said = [f"{item.rule}: {item.detail}" for item in findings if item.level == Level.ERROR]
    return list(dict.fromkeys(said))


async def render(
    conn: Connection, ctx: Context, update: Mapping[str, Any], facts: Facts
) -> tuple[list[Rendering], list[Finding]]:
    """All renderings of one update and what lint says of them. Raises TemplateError.

    `update` has the columns of READ_SQL; it need not be stored.
    """
    severity = Severity(update["severity"])
    audience = update["audience"]
    segments = audience["segments"] or list(ctx.segment_rules.segments)
    # What is meant for some accounts or segments only is not for the public voice.
    for_all = not audience["segments"] and not audience["account_ids"]
    channels = {
        name: set(kinds)
        | ({ChannelKind.SOCIAL} if for_all and ctx.policy.posts(severity) else set())
        for name, kinds in ctx.policy.channel_map(segments, severity).items()
    }
    # A second all-clear tells again what the first made new: the end is news only to what was open.
    previous = await conn.fetchval(
        PREVIOUS_SQL, update["incident_id"], update["seq"], update["kind"]
    )
    occasion = occasion_of(ctx, update, facts, Facts.model_validate(previous) if previous else None)
    internal = Internal.model_validate(update["internal"]) if update["internal"] else None
    renderings = compose(
        facts, internal, occasion, channels=channels, tag_prefix=new_tag_prefix(ctx.rng)
    )
    return renderings, lint(renderings, facts, occasion)


def occasion_of(
    ctx: Context, update: Mapping[str, Any], facts: Facts, previous: Facts | None
) -> Occasion:
    """What the words need to know besides the facts."""
    at: datetime = update["at"]
    return Occasion(
        kind=Kind(update["kind"]),
        status=update["status"],
        severity=Severity(update["severity"]).name,
        revision=update["seq"],
        incident_ref=update["external_id"],
        incident_url=incident_url(ctx, update["incident_id"], update["visibility"]),
        started_at=update["started_at"],
        at=at,
        brand=ctx.settings.brand,
        subject_title=update["subject_title"] or facts.title or "",
        changed=changed(previous, facts),
        visibility=update["visibility"],
    )


def incident_url(ctx: Context, incident_id: int, visibility: str) -> str:
    """The page every message links to; a narrower circle gets a link of its own."""
    page = ctx.signer.public_id(PAGE_KINDS[visibility], incident_id)
    return f"{ctx.settings.public_url}/i/{page}"


async def _store(conn: Connection, update_id: int, renderings: list[Rendering]) -> None:
    rows = [
        {
            "segment": item.segment or "",
            "channel": item.channel.code,
            "locale": item.locale,
            "parts": dict(item.parts),
            "slots": slots_to_json(item.slots),
            "hash": item.hash,
            "units": item.segments_worst or 1,
        }
        for item in renderings
    ]
    await conn.execute(STORE_SQL, update_id, rows)
