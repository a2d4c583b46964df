"""What a report begins with: the dispatch, its update and incident, and the promise it is judged by."""

from datetime import datetime
from typing import Final

import asyncpg

from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.policy import Policy, Severity
from dispatcher.stages.report.model import IncidentHeader, UpdateHeader

_INCIDENT: Final = """i.source, i.external_id, i.severity as incident_severity, i.status as incident_status,
       i.visibility, i.started_at, i.resolved_at,
       u.seq, u.kind, u.status, u.severity, u.facts, u.at"""
SUBJECT_SQL: Final = f"""
select d.id, d.update_id, d.incident_id, {_INCIDENT}
from dispatch d
join incident_update u on u.id = d.update_id
join incident i on i.id = d.incident_id
where d.id = $1
"""
# first: no earlier update of the incident went out, so the policy's first-notice promise is this one's.
HEADER_SQL: Final = f"""
select d.id, d.state, d.paused_at, d.wave, d.created_at, d.planned_at, d.completed_at, d.update_id,
       d.incident_id, r.made_at, r.took_s, r.of_mark, r.deadline, r.document,
       {_INCIDENT},
       d.wave = 1 and not exists (
           select from incident_update o join dispatch e on e.update_id = o.id
           where o.incident_id = u.incident_id and o.seq < u.seq and o.state <> 'cancelled') as first
from dispatch d
join incident_update u on u.id = d.update_id
join incident i on i.id = d.incident_id
left join dispatch_report r on r.dispatch_id = d.id
where d.id = $1
"""


async def read_header(conn: Connection, dispatch_id: int) -> asyncpg.Record | None:
    """Dispatch, update, incident, and what is kept of its report; None when there is no such dispatch."""
    return await conn.fetchrow(HEADER_SQL, dispatch_id)


async def read_subject(conn: Connection, dispatch_id: int) -> asyncpg.Record | None:
    """Dispatch, update and incident alone: nothing that counts customers. None without such a dispatch."""
    return await conn.fetchrow(SUBJECT_SQL, dispatch_id)


def first_notice(header: asyncpg.Record, policy: Policy) -> datetime | None:
    """The deadline of the first notice; None for an update that is not the first of its incident."""
    severity = Severity(header["severity"])
    return policy.first_notice_by(severity, header["started_at"], first=header["first"])


def incident_header(header: asyncpg.Record, signer: Signer) -> IncidentHeader:
    """The incident as it is now."""
    return IncidentHeader(
        id=signer.public_id("inc", header["incident_id"]),
        source=header["source"],
        external_id=header["external_id"],
        severity=Severity(header["incident_severity"]).name,
        status=header["incident_status"],
        visibility=header["visibility"],
        started_at=header["started_at"],
        resolved_at=header["resolved_at"],
    )


def update_header(header: asyncpg.Record, signer: Signer) -> UpdateHeader:
    """The update that was sent."""
    return UpdateHeader(
        id=signer.public_id("upd", header["update_id"]),
        seq=header["seq"],
        kind=header["kind"],
        status=header["status"],
        severity=Severity(header["severity"]).name,
        title=header["facts"].get("title") or "",
        at=header["at"],
        next_update_by=header["facts"].get("next_update_by"),
    )
