"""Accept: upsert the incident, append the update, open its dispatch. The caller owns the transaction."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.jobs import Event, publish
from dispatcher.stages.accept.body import ENDED, UpdateIn
from dispatcher.stages.accept.revise import Revision, refuse_empty_audience, revise
from templates.facts import facts_hash

PUBLISHES = ("update.accepted",)

LOCK_INCIDENT_SQL = """
insert into incident (source, external_id, visibility, severity, status, started_at)
values ($1, $2, 'customers', 1, 'investigating', $3)
on conflict (source, external_id) do update set status = incident.status
returning *
"""
# After the last one of its incident, in the next millisecond where it has to be: the lower bits are always
# from the sequence, so two incidents never come to the same number.
NEXT_UPDATE_ID_SQL = """
select greatest(update_id_at($1), case when $2::bigint is null then 0 else (($2::bigint >> 20) + 1) << 20 end)
           | (nextval('update_number') & 1048575),
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


@dataclass(frozen=True, slots=True)
class AcceptedUpdate:
    """What came of it; `dispatch_id` is None for a draft, `missing` names the facts a draft lacks."""

    incident_id: int
    update_id: int
    dispatch_id: int | None
    state: str
    missing: tuple[str, ...]
    visibility: str


async def accept(
    conn: Connection, ctx: Context, body: UpdateIn, *, actor: str, now: datetime
) -> AcceptedUpdate:
    """Store one update and wake the flow. Raises RefusedError naming each wrong field."""
    incident = await one_row(conn, LOCK_INCIDENT_SQL, body.source, body.incident.external_id, now)
    revision = await revise(conn, ctx, body, dict(incident), now)
    missing = tuple(revision.missing)
    draft = body.mode == "draft" or bool(missing)
    if not draft:
        await refuse_empty_audience(conn, ctx, revision, now)
    number: int = incident["id"]
    update_id = await _append(conn, incident, body, revision, draft=draft, actor=actor, now=now)
    if draft:
        return AcceptedUpdate(number, update_id, None, "draft", missing, revision.visibility)
    return await send_off(conn, update_id, number, revision, now=now)


async def send_off(
    conn: Connection, update_id: int, incident_id: int, revision: Revision, *, now: datetime
) -> AcceptedUpdate:
    """Move the incident, open the dispatch of an accepted update and wake the flow."""
    await conn.execute(
        MOVE_INCIDENT_SQL,
        incident_id,
        revision.visibility,
        int(revision.severity),
        revision.status,
        revision.component_ids,
        revision.status in ENDED,
        now,
    )
    dispatch_id: int = await conn.fetchval(OPEN_DISPATCH_SQL, update_id, incident_id, now)
    await publish(conn, [Event("update.accepted", update_id, priority=10 - revision.severity)])
    return AcceptedUpdate(
        incident_id, update_id, dispatch_id, "dispatching", (), revision.visibility
    )


async def _append(
    conn: Connection,
    incident: asyncpg.Record,
    body: UpdateIn,
    revision: Revision,
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
        revision.status,
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
