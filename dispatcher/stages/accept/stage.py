"""Accept: upsert the incident, append the update, open its dispatch. The caller owns the transaction."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.jobs import Event, publish
from dispatcher.rules.audience import audience_query
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import FieldProblem, RefusedError, conflict, invalid, not_found
from dispatcher.stages.accept.body import ENDED, AudienceIn, UpdateIn
from segments.audience import is_empty
from templates.facts import Facts, facts_hash, merge
from templates.render import kind_of

PUBLISHES = ("update.accepted",)

LOCK_INCIDENT_SQL = """
insert into incident (source, external_id, visibility, severity, status, started_at)
values ($1, $2, 'customers', 1, 'investigating', $3)
on conflict (source, external_id) do update set status = incident.status
returning *
"""
LAST_UPDATE_SQL = """
select facts, audience, internal from incident_update
where incident_id = $1 and state not in ('draft', 'cancelled') order by seq desc limit 1
"""
COMPONENTS_SQL = """
select external_id, id from component where external_id = any($1::text[]) and removed_at is null
"""
ACCOUNTS_SQL = """
select external_id, id from account where external_id = any($1::text[]) and removed_at is null
"""
NEXT_UPDATE_ID_SQL = """
select greatest(update_id_at($1) | (nextval('update_number') & 1048575), coalesce($2::bigint, 0) + 1),
       ensure_delivery_partition($1)
"""
INSERT_UPDATE_SQL = """
insert into incident_update (id, incident_id, seq, kind, status, severity, visibility, facts, facts_hash,
                             internal, note, audience, component_ids, mode, state, created_by, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
"""
COUNT_UPDATE_SQL = """
update incident set last_seq = $2, last_update_id = $3, lead = coalesce($4, lead) where id = $1
"""
# A draft changes nothing the public can see, so this runs when an update is on its way.
MOVE_INCIDENT_SQL = """
update incident set visibility = $2, severity = $3, status = $4, component_ids = $5,
       resolved_at = case when $6 then coalesce(resolved_at, $7) end
where id = $1
"""
OPEN_DISPATCH_SQL = """
insert into dispatch (update_id, incident_id, state, created_at) values ($1, $2, 'planning', $3)
on conflict (update_id, wave) do nothing returning id
"""
DRAFT_SQL = """
select u.*, exists (select from incident_update n where n.incident_id = u.incident_id and n.seq > u.seq
                    and n.state not in ('draft', 'cancelled')) as overtaken
from incident_update u join incident i on i.id = u.incident_id
where u.id = $1 for update of u, i
"""
RELEASE_DRAFT_SQL = (
    "update incident_update set state = 'accepted' where id = $1 and state = 'draft'"
)


@dataclass(frozen=True, slots=True)
class AcceptedUpdate:
    """What came of it; `dispatch_id` is None for a draft, `missing` names the facts a draft lacks."""

    incident_id: int
    update_id: int
    dispatch_id: int | None
    state: str
    missing: tuple[str, ...]
    visibility: str


@dataclass(frozen=True, slots=True)
class _Revision:
    """Everything the new row holds, after what was omitted has been filled from the last one."""

    facts: Facts
    internal: dict[str, Any]
    audience: dict[str, Any]
    component_ids: list[int]
    severity: Severity
    visibility: str
    kind: str

    @property
    def is_addressed(self) -> bool:
        """Whether it says whom it concerns; what does not is for nobody, never for everybody."""
        return bool(self.component_ids or self.audience["account_ids"])


async def accept(
    conn: Connection, ctx: Context, body: UpdateIn, *, actor: str, now: datetime
) -> AcceptedUpdate:
    """Store one update and wake the flow. Raises RefusedError naming each wrong field."""
    incident = await one_row(conn, LOCK_INCIDENT_SQL, body.source, body.incident.external_id, now)
    revision = await _revise(conn, ctx, body, incident, now)
    missing = revision.facts.missing(resolved=body.status in ENDED)
    if not revision.is_addressed:
        missing.append("component_ids")
    draft = body.mode == "draft" or bool(missing)
    if not draft:
        await _refuse_empty_audience(conn, ctx, revision, now)
    update_id = await _append(conn, incident, body, revision, draft=draft, actor=actor, now=now)
    if draft:
        return AcceptedUpdate(
            incident["id"], update_id, None, "draft", tuple(missing), revision.visibility
        )
    dispatch_id = await _open(
        conn,
        update_id,
        incident["id"],
        revision,
        status=body.status,
        now=now,
    )
    return AcceptedUpdate(
        incident["id"], update_id, dispatch_id, "dispatching", (), revision.visibility
    )


async def release_draft(
    conn: Connection, ctx: Context, update_id: int, *, now: datetime
) -> AcceptedUpdate:
    """Send a draft on its way. Raises RefusedError when it is no draft, incomplete or overtaken."""
    row = await conn.fetchrow(DRAFT_SQL, update_id)
    if row is None:
        raise not_found("update")
    if row["state"] != "draft":
        raise conflict("not-a-draft", f"The update is {row['state']}, not a draft")
    if row["overtaken"]:
        raise conflict("overtaken", "A newer update of this incident exists; write the draft again")
    facts = Facts.model_validate(row["facts"])
    problems = [
        FieldProblem(f"/facts/{name}", "missing", f"A message cannot leave without {name}")
        for name in facts.missing(resolved=row["status"] in ENDED)
    ]
    if problems:
        raise RefusedError(422, "incomplete-draft", "The draft is not complete", problems)
    _refuse_past_promise(facts, now, resolved=row["status"] in ENDED)
    revision = _Revision(
        facts=facts,
        internal=row["internal"],
        audience=row["audience"],
        component_ids=list(row["component_ids"]),
        severity=Severity(row["severity"]),
        visibility=row["visibility"],
        kind=row["kind"],
    )
    if not revision.is_addressed:
        raise _unaddressed("incomplete-draft", "The draft is not complete")
    await _refuse_empty_audience(conn, ctx, revision, now)
    await conn.execute(RELEASE_DRAFT_SQL, update_id)
    dispatch_id = await _open(
        conn, update_id, row["incident_id"], revision, status=row["status"], now=now
    )
    return AcceptedUpdate(
        row["incident_id"], update_id, dispatch_id, "dispatching", (), revision.visibility
    )


async def _revise(
    conn: Connection, ctx: Context, body: UpdateIn, incident: asyncpg.Record, now: datetime
) -> _Revision:
    last = await conn.fetchrow(LAST_UPDATE_SQL, incident["id"])
    if body.incident.severity is None and last is None:
        raise invalid(
            "/incident/severity", "missing", "The first update of an incident needs a severity"
        )
    previous = Facts.model_validate(last["facts"]) if last else None
    facts = merge(previous, body.facts)
    resolved = body.status in ENDED
    _refuse_past_promise(facts, now, resolved=resolved)
    audience = await _audience(conn, ctx, body.audience, last)
    components = (
        await _numbers(
            conn,
            COMPONENTS_SQL,
            body.incident.component_ids,
            "/incident/component_ids",
            "component",
        )
        if body.incident.component_ids is not None
        else list(incident["component_ids"])
    )
    visibility = body.incident.visibility or incident["visibility"]
    if visibility == "accounts" and not audience["account_ids"]:
        raise invalid(
            "/audience/account_ids",
            "missing",
            'Visibility "accounts" needs the accounts to be named',
        )
    if not components and not audience["account_ids"] and body.mode != "draft":
        raise _unaddressed("invalid-request", "The request cannot be accepted")
    internal = body.internal.model_dump(mode="json") if body.internal else None
    severity = (
        Severity[body.incident.severity]
        if body.incident.severity
        else Severity(incident["severity"])
    )
    return _Revision(
        facts=facts,
        internal=internal if internal is not None else (last["internal"] if last else {}),
        audience=audience,
        component_ids=components,
        severity=severity,
        visibility=visibility,
        kind=kind_of(previous, facts, resolved=resolved).value,
    )


def _unaddressed(kind: str, title: str) -> RefusedError:
    detail = "Name at least one component, or accounts in the audience"
    return RefusedError(
        422, kind, title, [FieldProblem("/incident/component_ids", "missing", detail)]
    )


def _refuse_past_promise(facts: Facts, now: datetime, *, resolved: bool) -> None:
    if not resolved and facts.next_update_by is not None and facts.next_update_by <= now:
        raise invalid(
            "/facts/next_update_by",
            "in_the_past",
            "The promised time of the next update has already passed",
        )


async def _audience(
    conn: Connection, ctx: Context, given: AudienceIn | None, last: asyncpg.Record | None
) -> dict[str, Any]:
    if given is None:
        if last is not None:
            stored: dict[str, Any] = last["audience"]
            return stored
        given = AudienceIn()
    known = ctx.segment_rules.segments
    problems = [
        FieldProblem(
            f"/audience/segments/{place}",
            "unknown_segment",
            f"No segment {name!r}; known: {', '.join(known)}",
        )
        for place, name in enumerate(given.segments or [])
        if name not in known
    ]
    if problems:
        raise RefusedError(422, "invalid-request", "The request cannot be accepted", problems)
    return {
        "segments": given.segments or [],
        "regions": given.regions or [],
        "account_ids": await _numbers(
            conn, ACCOUNTS_SQL, given.account_ids or [], "/audience/account_ids", "account"
        ),
        "exclude": await _numbers(
            conn, ACCOUNTS_SQL, given.exclude, "/audience/exclude", "account"
        ),
    }


async def _numbers(
    conn: Connection, sql: str, names: list[str], pointer: str, what: str
) -> list[int]:
    """Internal ids of external ones, in order; every unknown one is named."""
    found = {row["external_id"]: row["id"] for row in await conn.fetch(sql, names)} if names else {}
    problems = [
        FieldProblem(f"{pointer}/{place}", f"unknown_{what}", f"There is no {what} {name!r}")
        for place, name in enumerate(names)
        if name not in found
    ]
    if problems:
        raise RefusedError(422, "invalid-request", "The request cannot be accepted", problems)
    return [found[name] for name in dict.fromkeys(names)]


async def _refuse_empty_audience(
    conn: Connection, ctx: Context, revision: _Revision, now: datetime
) -> None:
    query = audience_query(
        ctx.policy,
        ctx.segment_rules,
        severity=revision.severity,
        visibility=revision.visibility,
        component_ids=revision.component_ids,
        audience=revision.audience,
    )
    # Segments that are always told would hide that no customer is concerned.
    named = set(revision.audience["segments"]) & set(query.always_segments)
    if revision.visibility != "internal" and not named:
        query = replace(query, always_segments=())
    if await is_empty(conn, query, now):
        raise RefusedError(
            422,
            "empty-audience",
            "Nobody would be told: no contact matches these components, regions, segments and accounts",
            [FieldProblem("/audience", "empty", "Check with: tidings audience count")],
        )


async def _append(
    conn: Connection,
    incident: asyncpg.Record,
    body: UpdateIn,
    revision: _Revision,
    *,
    draft: bool,
    actor: str,
    now: datetime,
) -> int:
    seq = incident["last_seq"] + 1
    update_id: int = await conn.fetchval(NEXT_UPDATE_ID_SQL, now, incident["last_update_id"])
    await conn.execute(
        INSERT_UPDATE_SQL,
        update_id,
        incident["id"],
        seq,
        revision.kind,
        body.status,
        int(revision.severity),
        revision.visibility,
        revision.facts.model_dump(mode="json"),
        facts_hash(revision.facts),
        revision.internal,
        body.note,
        revision.audience,
        revision.component_ids,
        body.mode,
        "draft" if draft else "accepted",
        actor,
        now,
    )
    await conn.execute(COUNT_UPDATE_SQL, incident["id"], seq, update_id, body.incident.lead)
    return update_id


async def _open(
    conn: Connection,
    update_id: int,
    incident_id: int,
    revision: _Revision,
    *,
    status: str,
    now: datetime,
) -> int:
    await conn.execute(
        MOVE_INCIDENT_SQL,
        incident_id,
        revision.visibility,
        int(revision.severity),
        status,
        revision.component_ids,
        status in ENDED,
        now,
    )
    dispatch_id: int = await conn.fetchval(OPEN_DISPATCH_SQL, update_id, incident_id, now)
    await publish(conn, [Event("update.accepted", update_id, priority=10 - revision.severity)])
    return dispatch_id
