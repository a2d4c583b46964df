"""What the stages tell: one call where it happens, in its transaction. Canaries are nobody's news."""

from datetime import datetime

import asyncpg

from dispatcher.announce.model import (
    MOST_COMPONENTS,
    DispatchCompleted,
    EventType,
    UpdatePublished,
)
from dispatcher.announce.outbox import announce, wanted
from dispatcher.db import Connection
from dispatcher.rules.policy import Severity
from dispatcher.rules.states import Shown

PUBLISHED_SQL = """
select i.id as incident_id, u.id as update_id, d.id as dispatch_id, i.source, i.external_id, u.seq as revision,
       u.kind, u.status, u.severity, u.visibility, u.facts->>'title' as title, u.facts->>'impact' as impact,
       u.facts->>'next_update_by' as next_update_by,
       array(select c.external_id from component c where c.id = any(u.component_ids)
             order by c.id limit $2) as component_ids
from incident_update u join incident i on i.id = u.incident_id
join dispatch d on d.update_id = u.id and d.wave = 1
where u.id = $1 and not i.canary
"""
WATCH_SQL = """
insert into failure_watch (dispatch_id, due_at)
select d.id, $2 from dispatch d join incident i on i.id = d.incident_id
where d.update_id = $1 and not i.canary on conflict do nothing
"""
ENDED_SQL = """
select i.id as incident_id, d.update_id, d.id as dispatch_id, i.source, i.external_id, d.state as outcome,
       d.created_at as started_at, d.completed_at as ended_at
from dispatch d join incident i on i.id = d.incident_id where d.id = $1 and not i.canary
"""
COUNTS_SQL = """
select t.i - 1 as status, sum(t.n)::bigint as n
from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
where s.dispatch_id = $1 group by t.i having sum(t.n) <> 0 order by t.i
"""


async def update_published(conn: Connection, update_id: int, *, now: datetime) -> None:
    """An update is approved; from now on its failures are looked for, where somebody asked for them."""
    asked = await wanted(conn)
    if EventType.DELIVERY_FAILED in asked:
        await conn.execute(WATCH_SQL, update_id, now)
    if EventType.UPDATE_PUBLISHED not in asked:
        return
    row = await conn.fetchrow(PUBLISHED_SQL, update_id, MOST_COMPONENTS)
    if row is not None:
        await announce(conn, EventType.UPDATE_PUBLISHED, _published(row), now=now)


async def dispatch_ended(conn: Connection, dispatch_id: int, *, now: datetime) -> None:
    """A dispatch was completed or cancelled."""
    if EventType.DISPATCH_COMPLETED not in await wanted(conn):
        return
    row = await conn.fetchrow(ENDED_SQL, dispatch_id)
    if row is None:
        return
    counts = await conn.fetch(COUNTS_SQL, dispatch_id)
    data = DispatchCompleted(
        **row,
        total=sum(item["n"] for item in counts),
        deliveries={Shown(item["status"]).word: item["n"] for item in counts},
        report_url=dispatch_id,
    )
    await announce(conn, EventType.DISPATCH_COMPLETED, data, now=now)


def _published(row: asyncpg.Record) -> UpdatePublished:
    fields = dict(row)
    due = fields["next_update_by"]
    return UpdatePublished(
        **fields
        | {
            "severity": Severity(row["severity"]).name,
            "next_update_by": datetime.fromisoformat(due) if due else None,
            "title": row["title"] or "",
            "impact": row["impact"] or "",
        }
    )
