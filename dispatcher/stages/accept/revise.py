"""What a new revision holds: what was posted, and from the last one whatever was left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.audience import audience_query
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import FieldProblem, RefusedError, invalid
from dispatcher.stages.accept.body import ENDED, AudienceIn, UpdateIn
from segments.audience import is_empty
from segments.model import AudienceQuery
from templates.facts import Facts, merge
from templates.render import kind_of

LAST_SENT_SQL = """
select facts, audience, internal from incident_update
where incident_id = $1 and state not in ('draft', 'cancelled') order by seq desc limit 1
"""
COMPONENTS_SQL = """
select external_id, id from component where external_id = any($1::text[]) and removed_at is null
"""
ACCOUNTS_SQL = """
select external_id, id from account where external_id = any($1::text[]) and removed_at is null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Everything a row of `incident_update` says, complete in itself."""

    facts: Facts
    internal: dict[str, Any]
    audience: dict[str, Any]
    component_ids: Sequence[int]
    severity: Severity
    visibility: str
    status: str
    kind: str

    @property
    def is_addressed(self) -> bool:
        """Whether it says whom it concerns; what does not is for nobody, never for everybody."""
        return bool(self.component_ids or self.audience["account_ids"])

    @property
    def missing(self) -> list[str]:
        """What must be said before it can leave."""
        facts = self.facts.missing(resolved=self.status in ENDED)
        return facts if self.is_addressed else [*facts, "component_ids"]

    def promise_has_passed(self, now: datetime) -> bool:
        """Whether it promises its next update for a time that is over."""
        by = self.facts.next_update_by
        return self.status not in ENDED and by is not None and by <= now

    def audience_query(self, ctx: Context) -> AudienceQuery:
        """Whom it concerns, as the question that segments answers."""
        return audience_query(
            ctx.policy,
            ctx.segment_rules,
            severity=self.severity,
            visibility=self.visibility,
            component_ids=self.component_ids,
            audience=self.audience,
        )


def revision_of(row: Mapping[str, Any]) -> Revision:
    """What a stored row says. `row` has the columns of `incident_update`."""
    return Revision(
        facts=Facts.model_validate(row["facts"]),
        internal=row["internal"],
        audience=row["audience"],
        component_ids=tuple(row["component_ids"]),
        severity=Severity(row["severity"]),
        visibility=row["visibility"],
        status=row["status"],
        kind=row["kind"],
    )


async def revise(
    conn: Connection,
    ctx: Context,
    body: UpdateIn,
    incident: Mapping[str, Any],
    now: datetime,
) -> Revision:
    """The revision that `body` makes of an incident. Nothing is written or locked.

    `incident` has the columns id, severity, visibility and component_ids. Raises RefusedError naming
    each wrong field.
    """
    last = await conn.fetchrow(LAST_SENT_SQL, incident["id"])
    said = body.incident
    if said.severity is None and last is None:
        raise invalid(
            "/incident/severity", "missing", "The first update of an incident needs a severity"
        )
    previous = Facts.model_validate(last["facts"]) if last else None
    facts = merge(previous, body.facts)
    resolved = body.status in ENDED
    internal = last["internal"] if last else {}
    if body.internal:
        internal = body.internal.model_dump(mode="json")
    revision = Revision(
        facts=facts,
        internal=internal,
        audience=await _audience(conn, ctx, body.audience, last),
        component_ids=list(incident["component_ids"])
        if said.component_ids is None
        else await components(conn, said.component_ids, "/incident/component_ids"),
        severity=Severity[said.severity] if said.severity else Severity(incident["severity"]),
        visibility=said.visibility or incident["visibility"],
        status=body.status,
        kind=kind_of(previous, facts, resolved=resolved).value,
    )
    refuse_past_promise(revision, now)
    refuse_unnamed_accounts(revision)
    if not revision.is_addressed and body.mode != "draft":
        raise unaddressed("invalid-request", "The request cannot be accepted", "/incident")
    return revision


async def _audience(
    conn: Connection, ctx: Context, given: AudienceIn | None, last: asyncpg.Record | None
) -> dict[str, Any]:
    if given is None and last is not None:
        stored: dict[str, Any] = last["audience"]
        return stored
    return await audience_of(conn, ctx, given or AudienceIn())


async def audience_of(conn: Connection, ctx: Context, given: AudienceIn) -> dict[str, Any]:
    """An audience as it is stored. Raises RefusedError naming what is not known."""
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


async def components(conn: Connection, names: Sequence[str], pointer: str) -> list[int]:
    """The numbers of components. Raises RefusedError that points at every unknown one."""
    return await _numbers(conn, COMPONENTS_SQL, names, pointer, "component")


async def _numbers(
    conn: Connection, sql: str, names: Sequence[str], pointer: str, what: str
) -> list[int]:
    """Internal ids of external ones, in order; every unknown one is named."""
    rows = await conn.fetch(sql, list(names)) if names else []
    found = {row["external_id"]: row["id"] for row in rows}
    problems = [
        FieldProblem(f"{pointer}/{place}", f"unknown_{what}", f"There is no {what} {name!r}")
        for place, name in enumerate(names)
        if name not in found
    ]
    if problems:
        raise RefusedError(422, "invalid-request", "The request cannot be accepted", problems)
    return [found[name] for name in dict.fromkeys(names)]


def unaddressed(kind: str, title: str, pointer: str = "") -> RefusedError:
    """What a revision for nobody is refused with; `pointer` leads to where components stand."""
    detail = "Name at least one component, or accounts in the audience"
    return RefusedError(
        422, kind, title, [FieldProblem(f"{pointer}/component_ids", "missing", detail)]
    )


def refuse_past_promise(revision: Revision, now: datetime) -> None:
    """Raises RefusedError where the next update is promised for a time that is over."""
    if revision.promise_has_passed(now):
        raise invalid(
            "/facts/next_update_by",
            "in_the_past",
            "The promised time of the next update has already passed",
        )


def refuse_unnamed_accounts(revision: Revision) -> None:
    """Raises RefusedError where only some accounts may know, and nobody says which."""
    if revision.visibility == "accounts" and not revision.audience["account_ids"]:
        raise invalid(
            "/audience/account_ids",
            "missing",
            'Visibility "accounts" needs the accounts to be named',
        )


async def concerns_nobody(
    conn: Connection, ctx: Context, revision: Revision, now: datetime
) -> bool:
    """Whether no contact is concerned, whatever may keep messages from them."""
    query = revision.audience_query(ctx)
    # Segments that are always told would hide that no customer is concerned.
    named = set(revision.audience["segments"]) & set(query.always_segments)
    if revision.visibility != "internal" and not named:
        query = replace(query, always_segments=())
    return await is_empty(conn, query, now)


async def refuse_empty_audience(
    conn: Connection, ctx: Context, revision: Revision, now: datetime
) -> None:
    """Raises RefusedError where nobody would be told."""
    if await concerns_nobody(conn, ctx, revision, now):
        raise RefusedError(
            422,
            "empty-audience",
            "Nobody would be told: no contact matches these components, regions, segments and accounts",
            [FieldProblem("/audience", "empty", "Check with: tidings audience count")],
        )
