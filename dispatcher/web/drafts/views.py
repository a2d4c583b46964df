"""Rows of drafts as they are shown."""

from typing import Any

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import not_found
from dispatcher.stages.accept import shown_audience
from dispatcher.stages.accept.body import ENDED
from dispatcher.stages.accept.revise import revision_of
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.drafts.models import AudienceView, Draft, DraftLinks, DraftSummary, Proposes
from dispatcher.web.ids import INCIDENT, UPDATE, number_of

COLUMNS = """
select u.*, i.source, i.external_id,
       array(select c.external_id from component c where c.id = any(u.component_ids)
             order by c.external_id) as component_names,
       exists (select from incident_update n where n.incident_id = u.incident_id and n.seq > u.seq
               and n.state not in ('draft', 'cancelled')) as overtaken,
       exists (select from incident_update n where n.incident_id = u.incident_id and n.seq < u.seq
               and n.state not in ('draft', 'cancelled')) as told,
       i.subject_title, i.started_at,
       coalesce(c.number, 0) as changes, c.made_by as changed_by, c.at as changed_at
from incident_update u join incident i on i.id = u.incident_id
left join lateral (
    select r.number, r.made_by, r.at from draft_revision r where r.update_id = u.id
    order by r.number desc limit 1) c on true
"""
ONE_SQL = f"{COLUMNS} where u.id = $1"
LIST_SQL = f"""{COLUMNS}
where u.state = 'draft' and ($1::bigint is null or u.id < $1)
  and ($2::bigint is null or u.incident_id = $2) and ($3::text is null or i.source = $3)
  and ($4::smallint is null or u.severity = $4)
order by u.id desc limit $5
"""


async def find_draft(conn: Connection, ctx: Context, public: str) -> Draft:
    """A draft by its public id. Raises RefusedError where there is none, or it is none any more."""
    return await draft_view(conn, ctx, await draft_row(conn, ctx, public))


async def draft_row(conn: Connection, ctx: Context, public: str) -> asyncpg.Record:
    """The row of a draft. Raises RefusedError where there is none, or it is none any more."""
    row = await conn.fetchrow(ONE_SQL, number_of(ctx, UPDATE, public))
    if row is None:
        raise not_found("draft")
    if row["state"] != "draft":
        state, public = row["state"], ctx.signer.public_id(UPDATE, row["id"])
        raise WebRefusedError("not-found", f"It is {state}, and no draft: see /v1/updates/{public}")
    return row


async def draft_view(conn: Connection, ctx: Context, row: asyncpg.Record) -> Draft:
    """All of a draft. `row` is one of `ONE_SQL`, of an update that is, or was, a draft."""
    public = ctx.signer.public_id(UPDATE, row["id"])
    here = f"/v1/drafts/{public}"
    return Draft(
        **_summary(ctx, row),
        kind=row["kind"],
        facts=row["facts"],
        internal=row["internal"],
        note=row["note"],
        audience=AudienceView(**await shown_audience(conn, row["audience"])),
        links=DraftLinks(
            incident=f"/v1/incidents/{ctx.signer.public_id(INCIDENT, row['incident_id'])}",
            update=f"/v1/updates/{public}",
            draft=here,
            preview=f"{here}/preview",
            submit=f"{here}/submit",
            revisions=f"{here}/revisions",
        ),
    )


def summary_view(ctx: Context, row: asyncpg.Record) -> DraftSummary:
    """A draft as the list has it."""
    return DraftSummary(**_summary(ctx, row))


def _summary(ctx: Context, row: asyncpg.Record) -> dict[str, Any]:
    public = ctx.signer.public_id
    same = ("source", "external_id", "status", "visibility", "overtaken", "created_by", "at")
    return {
        **{name: row[name] for name in (*same, "changes", "changed_by", "changed_at")},
        "id": public(UPDATE, row["id"]),
        "incident_id": public(INCIDENT, row["incident_id"]),
        "revision": row["seq"],
        "proposes": _proposes(row),
        "title": row["facts"].get("title"),
        "severity": Severity(row["severity"]).name,
        "component_ids": row["component_names"],
        "missing": revision_of(dict(row)).missing,
    }


def _proposes(row: asyncpg.Record) -> Proposes:
    if row["status"] in ENDED:
        return "resolution"
    return "update" if row["told"] else "opening"
