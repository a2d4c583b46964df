"""Drafts that wait for a person: extended by what becomes known, withdrawn, discarded; all of it is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import asyncpg

from dispatcher.db import Connection
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import conflict, not_found

NOTE_LIMIT = 10_000

Action = Literal["edited", "extended", "withdrawn", "discarded", "submitted"]

# The incident before the update, as whoever posts or sends an alert does.
LOCK_INCIDENT_OF_SQL = """
select i.id from incident i
where i.id = (select u.incident_id from incident_update u where u.id = $1) for update
"""
LOCK_DRAFT_SQL = """
select u.*, exists (select from incident_update n where n.incident_id = u.incident_id and n.seq > u.seq
                    and n.state not in ('draft', 'cancelled')) as overtaken
from incident_update u where u.id = $1 for update
"""
# Only the note, how bad it is and what it concerns: what a person has written stays as it is. Where they
# decided that it is less bad, what is no worse than it ever was does not undo that.
EXTEND_SQL = f"""
update incident_update u set
    note = case when length(u.note) + length($2::text) + 2 <= {NOTE_LIMIT}
                then u.note || E'\\n\\n' || $2::text else u.note end,
    severity = case when $3::smallint < all (
                        select array_position('{{P0,P1,P2,P3,planned}}', r.former ->> 'severity') - 1
                        from draft_revision r where r.update_id = u.id and r.former ? 'severity')
                    then least(u.severity, $3::smallint) else u.severity end,
    component_ids = array(select distinct unnest(u.component_ids || $4::bigint[]) order by 1)
from incident_update o
where u.id = $1 and u.state = 'draft' and o.id = u.id
returning u.note <> o.note as note, u.severity <> o.severity as severity,
          u.component_ids <> o.component_ids as component_ids,
          o.severity as former_severity, o.component_ids as former_component_ids
"""
END_SQL = """
update incident_update set state = 'cancelled', state_detail = $2
where id = $1 and state = 'draft' returning id
"""
# What stood there before stands there still, or a person took it out.
MORE_COMPONENTS_SQL = """
select id from component where external_id = any($1::text[]) and removed_at is null and not exists (
    select from draft_revision where update_id = $2 and former -> 'component_ids' ? external_id)
order by id
"""
COMPONENT_NAMES_SQL = "select external_id from component where id = any($1::bigint[]) order by 1"
RECORD_SQL = """
insert into draft_revision (update_id, number, at, made_by, action, fields, former, seen)
select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7 from draft_revision where update_id = $1
"""
LAST_DECISION_SQL = """
select action, seen from draft_revision where update_id = $1 and action = any($2::text[])
order by number desc limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """Who changes a draft, and when. `seen`: the version that they decided on, where it is a person."""

    actor: str
    at: datetime
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Extension:
    """What more is known: words for colleagues, at least how bad it is, which components."""

    note: str
    severity: Severity
    component_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What changed: names of fields, and what stood there before, as it would be shown."""

    fields: Sequence[str] = ()
    former: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Change()


async def lock_draft(conn: Connection, update_id: int) -> asyncpg.Record:
    """The row of an update, and whether it is `overtaken`. Raises RefusedError where there is none.

    It and its incident stay as they are until the transaction ends.
    """
    await conn.execute(LOCK_INCIDENT_OF_SQL, update_id)
    row = await conn.fetchrow(LOCK_DRAFT_SQL, update_id)
    if row is None:
        raise not_found("draft")
    return row


def require_draft(row: asyncpg.Record) -> None:
    """Raises RefusedError for what is on its way, was taken back, or never was a draft."""
    if row["state"] != "draft":
        why = f": {row['state_detail']}" if row["state_detail"] else ""
        raise conflict("not-a-draft", f"The update is {row['state']}, not a draft{why}")


def require_newest(row: asyncpg.Record) -> None:
    """Raises RefusedError for a draft that was written before the incident's newest update."""
    if row["overtaken"]:
        raise conflict("overtaken", "A newer update of this incident exists; write the draft again")


async def extend_draft(conn: Connection, update_id: int, more: Extension, hand: Hand) -> bool:
    """Add to a draft, in the caller's transaction; False when it is none any more.

    A note that is full takes nothing more: then the draft has long said enough.
    """
    components = await conn.fetch(MORE_COMPONENTS_SQL, list(more.component_ids), update_id)
    row = await conn.fetchrow(
        EXTEND_SQL, update_id, more.note, int(more.severity), [item["id"] for item in components]
    )
    if row is None:
        return False
    # What stood in the note still stands there.
    former: dict[str, Any] = {}
    if row["severity"]:
        former["severity"] = Severity(row["former_severity"]).name
    if row["component_ids"]:
        former["component_ids"] = await component_names(conn, row["former_component_ids"])
    fields = [name for name in ("note", "severity", "component_ids") if row[name]]
    if fields:
        await record(conn, update_id, "extended", hand, Change(fields, former))
    return True


async def withdraw_draft(conn: Connection, update_id: int, why: str, hand: Hand) -> bool:
    """Take back a draft that is not true any more; False when it is none."""
    return await _end(conn, update_id, "withdrawn", why, hand)


async def discard_draft(conn: Connection, update_id: int, why: str, hand: Hand) -> bool:
    """A person decided that it shall not leave; False when it is no draft."""
    return await _end(conn, update_id, "discarded", why, hand)


async def _end(conn: Connection, update_id: int, action: Action, why: str, hand: Hand) -> bool:
    if await conn.fetchval(END_SQL, update_id, why) is None:
        return False
    await record(conn, update_id, action, hand, NOTHING)
    return True


async def decided_on(conn: Connection, update_id: int, *actions: Action) -> str | None:
    """The version on which a person decided one of `actions`, None where nobody did."""
    row = await conn.fetchrow(LAST_DECISION_SQL, update_id, list(actions))
    return None if row is None else str(row["seen"])


async def component_names(conn: Connection, numbers: Sequence[int]) -> list[str]:
    """External ids, in their order."""
    rows = await conn.fetch(COMPONENT_NAMES_SQL, list(numbers)) if numbers else []
    return [row["external_id"] for row in rows]


async def record(
    conn: Connection, update_id: int, action: Action, hand: Hand, change: Change
) -> None:
    """Keep what was done to a draft; the caller holds its row."""
    await conn.execute(
        RECORD_SQL,
        update_id,
        hand.at,
        hand.actor,
        action,
        list(change.fields),
        dict(change.former),
        hand.seen,
    )
