"""Incidents and their updates, to read."""

from typing import Annotated, Literal

import asyncpg
from pydantic import Field

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.own import OWN_ACCOUNT, seen_incident, seen_update, told_own
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import not_found
from dispatcher.stages.accept.body import SeverityName, Status
from dispatcher.stages.compose import incident_url
from dispatcher.web.answers import Reply
from dispatcher.web.ids import DISPATCH, INCIDENT, UPDATE, number_of
from dispatcher.web.lists import Page, PageQuery, page_reply, position
from dispatcher.web.models import Incident, Update, UpdateWithRenderings
from dispatcher.web.routing import Call, Plain
from dispatcher.web.wordings import stored_view
from templates.facts import Moment


def _incident_columns(said: str) -> str:
    """`said`: which updates `u` may tell what it is about."""
    return f"""
select i.id, i.source, i.external_id, i.severity, i.status, i.visibility, i.lead, i.started_at,
       i.resolved_at, coalesce(t.facts ->> 'title', i.subject_title) as title,
       t.facts ->> 'next_update_by' as next_update_by,
       array(select c.external_id from component c where c.id = any(i.component_ids)
             order by c.external_id) as component_ids
from incident i
left join lateral (
    select u.facts from incident_update u where u.incident_id = i.id and {said}
    order by u.seq desc limit 1) t on true
"""


INCIDENT_COLUMNS = _incident_columns("u.state not in ('draft', 'cancelled')")
OWN_INCIDENT_COLUMNS = _incident_columns(seen_update("u"))
PAGE = """
  and ($1::bigint is null or i.id < $1) and ($2::boolean is null or (i.resolved_at is null) = $2)
  and ($4::text is null or i.source = $4) and ($5::smallint is null or i.severity = $5)
  and ($6::text is null or i.status = $6) and ($7::timestamptz is null or i.started_at >= $7)
  and ($8::bigint is null or $8 = any(i.component_ids))
order by i.id desc limit $3
"""
NAMED_PAGE = f"and i.external_id = $9 {PAGE}"
COMPONENT_SQL = "select id from component where external_id = $1"
LIST_SQL = f"{INCIDENT_COLUMNS} where not i.canary {PAGE}"
OWN_LIST_SQL = f"{OWN_INCIDENT_COLUMNS} where {seen_incident('i')} {PAGE}"
NAMED_SQL = f"{INCIDENT_COLUMNS} where not i.canary {NAMED_PAGE}"
OWN_NAMED_SQL = f"{OWN_INCIDENT_COLUMNS} where {seen_incident('i')} {NAMED_PAGE}"
ONE_SQL = f"{INCIDENT_COLUMNS} where i.id = $1"
OWN_ONE_SQL = f"{OWN_INCIDENT_COLUMNS} where i.id = $1 and {seen_incident('i')}"
UPDATE_COLUMNS = """
select u.*, d.id as dispatch_id
from incident_update u left join dispatch d on d.update_id = u.id and d.wave = 1
"""
# Notes for ourselves may name any customer.
OWN_UPDATE_COLUMNS = f"""
select u.id, u.incident_id, u.seq, u.kind, u.status, u.severity, u.visibility, u.facts,
       '{{}}'::jsonb as internal, '' as note, u.mode, u.state, u.state_detail, u.created_by,
       u.at, d.id as dispatch_id
from incident_update u
join incident i on i.id = u.incident_id and {seen_incident("i")}
left join dispatch d on d.update_id = u.id and d.wave = 1 and {told_own("u.id")}
"""
UPDATES = """
  u.incident_id = $1 and ($2::bigint is null or u.seq < $2) order by u.seq desc limit $3
"""
UPDATES_SQL = f"{UPDATE_COLUMNS} where {UPDATES}"
OWN_UPDATES_SQL = f"{OWN_UPDATE_COLUMNS} where {seen_update('u')} and {UPDATES}"
UPDATE_SQL = f"{UPDATE_COLUMNS} where u.id = $1"
OWN_UPDATE_SQL = f"{OWN_UPDATE_COLUMNS} where {seen_update('u')} and u.id = $1"
RENDERINGS = (
    "select segment, channel, locale, parts, slots, units from rendering where update_id = $1"
)
RENDERINGS_SQL = f"{RENDERINGS} order by channel, segment, locale, id"
# The words of a segment may be for colleagues alone, and hold what was noted for them.
OWN_RENDERINGS_SQL = f"""
{RENDERINGS} and (account_id is null or account_id {OWN_ACCOUNT})
  and (segment = '' or segment in (select a.segment from account a where a.id {OWN_ACCOUNT}))
order by channel, segment, locale, id
"""


class IncidentQuery(PageQuery):
    """`state`: only incidents that go on, or only those that are over. The rest: only what is so.

    `external_id` is the id its source has for it; `component`: by your id of it, 404 when it is not known
    here; `since`: what began then or later.
    """

    state: Literal["open", "resolved"] | None = None
    source: Annotated[str, Field(max_length=200)] | None = None
    external_id: Annotated[str, Field(max_length=200)] | None = None
    severity: SeverityName | None = None
    status: Status | None = None
    component: Annotated[str, Field(max_length=200)] | None = None
    since: Moment | None = None


class IncidentPage(Page[Incident]):
    """Incidents, newest first."""


class UpdatePage(Page[Update]):
    """Updates of one incident, newest first."""


async def list_incidents(call: Call[None, IncidentQuery]) -> Reply:
    """Newest first."""
    after, query, own = position(call.query, (int,)), call.query, call.caller.limited
    values: tuple[object, ...] = (
        after and after[0],
        None if query.state is None else query.state == "open",
        query.limit + 1,
        query.source,
        None if query.severity is None else Severity[query.severity],
        *(query.status, query.since),
    )
    named: tuple[str, ...] = ()
    sql = OWN_LIST_SQL if own else LIST_SQL
    if query.external_id is not None:
        sql, named = OWN_NAMED_SQL if own else NAMED_SQL, (query.external_id,)
    async with call.connection() as conn:
        component = await _component(conn, query.component)
        rows = await conn.fetch(sql, *values, component, *named)
    views = [_incident(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row["id"],) for row in rows], IncidentPage)


async def _component(conn: Connection, name: str | None) -> int | None:
    if name is None:
        return None
    number: int | None = await conn.fetchval(COMPONENT_SQL, name)
    if number is None:
        raise not_found("component")
    return number


async def get_incident(call: Plain) -> Reply:
    """One incident as it stands."""
    number = number_of(call.ctx, INCIDENT, call.path("incident_id"))
    async with call.connection() as conn:
        return Reply(_incident(call.ctx, await _row(conn, number, own=call.caller.limited)))


async def list_updates(call: Call[None, PageQuery]) -> Reply:
    """Every update of one incident, drafts too; newest first."""
    number = number_of(call.ctx, INCIDENT, call.path("incident_id"))
    after = position(call.query, (int,))
    async with call.connection() as conn:
        await _row(conn, number, own=call.caller.limited)
        sql = OWN_UPDATES_SQL if call.caller.limited else UPDATES_SQL
        rows = await conn.fetch(sql, number, after and after[0], call.query.limit + 1)
    views = [_update(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row["seq"],) for row in rows], UpdatePage)


async def get_update(call: Plain) -> Reply:
    """One update with every wording made from it."""
    number = number_of(call.ctx, UPDATE, call.path("update_id"))
    async with call.connection() as conn:
        own = call.caller.limited
        row = await conn.fetchrow(OWN_UPDATE_SQL if own else UPDATE_SQL, number)
        if row is None:
            raise not_found("update")
        found = await conn.fetch(OWN_RENDERINGS_SQL if own else RENDERINGS_SQL, number)
    renderings = [stored_view(dict(item)) for item in found]
    update = _update(call.ctx, row)
    return Reply(UpdateWithRenderings(**update.model_dump(), renderings=renderings))


async def _row(conn: Connection, number: int, *, own: bool) -> asyncpg.Record:
    row = await conn.fetchrow(OWN_ONE_SQL if own else ONE_SQL, number)
    if row is None:
        raise not_found("incident")
    return row


def _incident(ctx: Context, row: asyncpg.Record) -> Incident:
    public = ctx.signer.public_id(INCIDENT, row["id"])
    return Incident(
        id=public,
        source=row["source"],
        external_id=row["external_id"],
        title=row["title"],
        severity=Severity(row["severity"]).name,
        status=row["status"],
        visibility=row["visibility"],
        lead=row["lead"],
        component_ids=row["component_ids"],
        started_at=row["started_at"],
        resolved_at=row["resolved_at"],
        next_update_by=None if row["resolved_at"] else row["next_update_by"],
        page=incident_url(ctx, row["id"], row["visibility"]),
    )


def _update(ctx: Context, row: asyncpg.Record) -> Update:
    public, dispatch = ctx.signer.public_id, row["dispatch_id"]
    return Update(
        id=public(UPDATE, row["id"]),
        incident_id=public(INCIDENT, row["incident_id"]),
        dispatch_id=public(DISPATCH, dispatch) if dispatch else None,
        revision=row["seq"],
        kind=row["kind"],
        status=row["status"],
        severity=Severity(row["severity"]).name,
        visibility=row["visibility"],
        mode=row["mode"],
        state=row["state"],
        state_detail=row["state_detail"],
        facts=row["facts"],
        internal=row["internal"],
        note=row["note"],
        created_by=row["created_by"],
        at=row["at"],
    )
