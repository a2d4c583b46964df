"""Between which contacts an update's audience lies: where it names its accounts, theirs are enough."""

from dispatcher.db import Connection, one_row
from segments.model import AudienceQuery

LAST_CONTACT_SQL = "select coalesce(max(id), 0) from contact"
NAMED_SQL = """
select coalesce(min(c.first) - 1, 0) as before, coalesce(max(c.last), 0) as last
from unnest($1::bigint[]) as a(id)
cross join lateral (select min(id) as first, max(id) as last from contact where account_id = a.id) c
"""
SKIP_SQL = "update dispatch set cursor = $2 where id = $1 and state = 'planning' and cursor < $2"


async def bounds(
    conn: Connection, query: AudienceQuery, dispatch_id: int, cursor: int
) -> tuple[int, int]:
    """The contact behind which planning goes on, and the last one it has to look at."""
    always = set(query.segments) & set(query.always_segments) or not query.segments
    if not query.account_ids or query.visibility == "internal" or always:
        return cursor, await conn.fetchval(LAST_CONTACT_SQL)
    named = await one_row(conn, NAMED_SQL, query.account_ids)
    if named["before"] > cursor:
        await conn.execute(SKIP_SQL, dispatch_id, named["before"])
    return max(cursor, named["before"]), named["last"]
