"""`GET /v1/audit` and `tidings audit`: who did what, newest first."""

from typing import Final

from dispatcher.db import Connection
from dispatcher.web.answers import Reply
from dispatcher.web.lists import page_reply, position
from dispatcher.web.people.models import AuditEntry, AuditPage, AuditQuery
from dispatcher.web.routing import Call

_NEWEST: Final = 2**63 - 1

LIST_SQL = """
select id, at, actor, action, object, detail from audit
where id < $1
  and ($2::text is null or actor = $2) and ($3::text is null or object = $3)
  and ($4::text is null or action = $4) and ($5::timestamptz is null or at >= $5)
  and ($6::timestamptz is null or at < $6)
order by id desc limit $7
"""


async def list_audit(call: Call[None, AuditQuery]) -> Reply:
    """Newest first, of one actor, object or action, between two moments."""
    before = position(call.query, (int,))
    async with call.connection() as conn:
        found = await read_audit(
            conn, call.query, before=before[0] if before else None, limit=call.query.limit + 1
        )
    return page_reply(call, found, [(entry.id,) for entry in found], AuditPage)


async def read_audit(
    conn: Connection, query: AuditQuery, *, before: int | None, limit: int
) -> list[AuditEntry]:
    """At most `limit` entries older than the entry `before`."""
    start = _NEWEST if before is None else before
    rows = await conn.fetch(
        LIST_SQL, start, query.actor, query.object, query.action, query.since, query.until, limit
    )
    return [AuditEntry(**row) for row in rows]
