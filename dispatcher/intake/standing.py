"""How things stand with the incident that a source speaks of: what was told, what waits, what was refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from dispatcher.db import Connection, one_row
from dispatcher.intake.model import ENDED
from dispatcher.intake.words import SeverityName
from dispatcher.rules.policy import Severity
from dispatcher.stages.accept import Status

# Two events of one incident take turns, also where neither of them finds its row.
TURN_SQL = "select pg_advisory_xact_lock(hashtextextended($1 || E'\\n' || $2, 7202607))"
INCIDENT_SQL = """
select id, status, resolved_at from incident where source = $1 and external_id = $2 for update
"""
STATE_SQL = """
select exists (select from incident_update u where u.incident_id = $1
               and u.state not in ('draft', 'cancelled')) as told,
       (select u.severity from incident_update u where u.incident_id = $1 and u.state <> 'cancelled'
        order by u.seq desc limit 1) as severity,
       coalesce((select (u.facts ->> 'next_update_by')::timestamptz <= $2 from incident_update u
                 where u.incident_id = $1 and u.state not in ('draft', 'cancelled')
                 order by u.seq desc limit 1), false) as overdue
"""
# Those a person could still submit: nothing newer is on its way.
OPEN_DRAFTS_SQL = """
select u.id, u.status, u.severity, u.visibility,
       coalesce(u.facts ->> 'title', u.facts ->> 'impact') is not null
       or exists (select from draft_revision r where r.update_id = u.id and r.action = 'edited')
       as has_words
from incident_update u
where u.incident_id = $1 and u.state = 'draft' and u.created_by = $2
  and not exists (select from incident_update n where n.incident_id = $1 and n.seq > u.seq
                  and n.state not in ('draft', 'cancelled'))
order by u.seq desc
"""
# How bad it ever was of what a person discarded since anything was told: what they thought of it does
# not make the next alert of the same kind a worse one.
REFUSED_SQL = """
select least(min(u.severity), min(array_position('{P0,P1,P2,P3,planned}', r.former ->> 'severity') - 1))
       as severity
from incident_update u join draft_revision r on r.update_id = u.id
where u.incident_id = $1 and u.state = 'cancelled' and u.created_by = $2 and u.status <> all ($3::text[])
  and exists (select from draft_revision d where d.update_id = u.id and d.action = 'discarded')
  and not exists (select from incident_update n where n.incident_id = $1 and n.seq > u.seq
                  and n.state not in ('draft', 'cancelled'))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand.

    `told`: whether anything has gone out. `overdue`: the promised time of the next update has passed.
    `drafts`: the source's own open ones, the newest first; `has_words`: a person wrote something there.
    `refused`: how bad it was when a person discarded such a draft, None where nobody did.
    """

    external_id: str
    id: int | None = None
    status: Status = "investigating"
    is_over: bool = False
    told: bool = False
    overdue: bool = False
    severity: Severity | None = None
    drafts: Sequence[asyncpg.Record] = field(default=())
    refused: Severity | None = None

    def is_refused(self, said: SeverityName | None) -> bool:
        """Whether a person has said no to this; something worse is another question."""
        return self.refused is not None and (said is None or Severity[said] >= self.refused)


async def standing(
    conn: Connection, source_name: str, external_id: str, *, actor: str, now: datetime
) -> Standing:
    """How things stand; they stay so until the transaction ends, where the incident is known."""
    await conn.execute(TURN_SQL, source_name, external_id)
    row = await conn.fetchrow(INCIDENT_SQL, source_name, external_id)
    if row is None:
        return Standing(external_id=external_id)
    state = await one_row(conn, STATE_SQL, row["id"], now)
    refused = await conn.fetchval(REFUSED_SQL, row["id"], actor, sorted(ENDED))
    severity = state["severity"]
    return Standing(
        external_id=external_id,
        id=row["id"],
        status=row["status"],
        is_over=row["status"] in ENDED,
        told=state["told"],
        overdue=state["overdue"],
        severity=None if severity is None else Severity(severity),
        drafts=await conn.fetch(OPEN_DRAFTS_SQL, row["id"], actor),
        refused=None if refused is None else Severity(refused),
    )
