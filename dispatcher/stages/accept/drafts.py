"""Drafts that wait for a person: what becomes known meanwhile is added to them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.db import Connection
from dispatcher.rules.policy import Severity

NOTE_LIMIT = 10_000

# Only the note, how bad it is and what it concerns: what a person has written stays as it is.
EXTEND_SQL = f"""
update incident_update set
    note = case when length(note) + length($2::text) + 2 <= {NOTE_LIMIT}
                then note || E'\\n\\n' || $2::text else note end,
    severity = least(severity, $3::smallint),
    component_ids = array(select distinct unnest(component_ids || $4::bigint[]) order by 1)
where id = $1 and state = 'draft'
returning id
"""
WITHDRAW_SQL = """
update incident_update set state = 'cancelled', state_detail = $2
where id = $1 and state = 'draft' returning id
"""
COMPONENT_NUMBERS_SQL = """
select id from component where external_id = any($1::text[]) and removed_at is null order by id
"""


@dataclass(frozen=True, slots=True)
class Extension:
    """What more is known: words for colleagues, at least how bad it is, which components."""

    note: str
    severity: Severity
    component_ids: Sequence[str] = ()


async def extend_draft(conn: Connection, update_id: int, more: Extension) -> bool:
    """Add to a draft, in the caller's transaction; False when it is none any more.

    A note that is full takes nothing more: then the draft has long said enough.
    """
    components = await conn.fetch(COMPONENT_NUMBERS_SQL, list(more.component_ids))
    row = await conn.fetchrow(
        EXTEND_SQL, update_id, more.note, int(more.severity), [item["id"] for item in components]
    )
    return row is not None


async def withdraw_draft(conn: Connection, update_id: int, why: str) -> bool:
    """Take back a draft that is not true any more; False when it is none."""
    return await conn.fetchval(WITHDRAW_SQL, update_id, why) is not None
