"""Groups of alerts: which incident a group stands for at present. Its key comes again for the next one."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dispatcher.db import Connection, one_row
from dispatcher.intake.proof import as_bytes
from dispatcher.intake.shapes import code
from dispatcher.intake.sources import Source

# What fires again within an hour after its end has never really ended.
SAME_INCIDENT_FOR: Final = timedelta(hours=1)
# What `external_id` of POST /v1/updates may be.
_PLAIN_ID: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

# The row is locked until the end of the transaction: two alerts of one group take turns.
LOCK_GROUP_SQL = """
insert into intake_group (source_id, key, external_id, opened_at) values ($1, $2, $3, $4)
on conflict (source_id, key) do update set opened_at = intake_group.opened_at
returning external_id, opened_at, ended_at
"""
# What people said is over, unless it fired again within the hour: then a draft that waits says so, and
# until somebody decides on that, it is the same incident.
_OVER: Final = """
from incident i where i.source = {source} and i.external_id = {external_id} and not exists (
    select from incident_update u where u.incident_id = i.id and u.state = 'draft'
    and u.status <> all ('{{resolved,completed}}') and not exists (
        select from incident_update n where n.incident_id = i.id and n.seq > u.seq
        and n.state not in ('draft', 'cancelled')))
"""
RESOLVED_SQL = f"select i.resolved_at {_OVER.format(source='$1', external_id='$2')}"
NEXT_SQL = """
update intake_group set external_id = $3, opened_at = $4, ended_at = null
where source_id = $1 and key = $2
"""
ENDED_SQL = "update intake_group set ended_at = $3 where source_id = $1 and key = $2"
# Before any row: what was said last of an alert stays so until the transaction ends.
TURN_SQL = "select pg_advisory_xact_lock(hashtextextended(encode($2, 'hex'), 7202608 + $1))"
_OF_GROUP: Final = (
    "(select g.external_id from intake_group g where g.source_id = $1 and g.key = $2)"
)
QUIET_SQL = f"""
select coalesce((select g.ended_at is not null from intake_group g
                 where g.source_id = $1 and g.key = $2), false) as has_ended,
       (select i.resolved_at {_OVER.format(source="$3", external_id=_OF_GROUP)}) as over_since,
       exists (select from draft_revision r where r.update_id = $4 and r.action = 'discarded')
       as is_discarded
"""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Why nothing is said of a group that fires: all of it had ended, or people decided so.

    `over_since`: when a person said that its incident is over.
    """

    has_ended: bool
    over_since: datetime | None
    is_discarded: bool


async def take_turn(conn: Connection, source_id: int, key: str) -> None:
    """Two events of one group take turns, from here to the end of the transaction."""
    await conn.execute(TURN_SQL, source_id, _hashed(key))


async def quiet_of_group(
    conn: Connection, source: Source, key: str, *, update_id: int | None
) -> Quiet:
    """How things stand with a group that was said before; `update_id`: what it had become."""
    row = await one_row(conn, QUIET_SQL, source.id, _hashed(key), source.name, update_id)
    return Quiet(row["has_ended"], row["over_since"], row["is_discarded"])


def _hashed(key: str) -> bytes:
    return hashlib.sha256(as_bytes(key)).digest()


def plain_id(key: str) -> str:
    """The sender's id of an incident as it is, or a short one where that is none for us."""
    return key if _PLAIN_ID.fullmatch(key) and key == key.strip() else f"X-{code(key)}"


async def incident_of_group(
    conn: Connection,
    source_id: int,
    source_name: str,
    key: str,
    *,
    begins: bool,
    ended: bool,
    now: datetime,
) -> str:
    """The external id of the incident that the group stands for now.

    A new one when the last one has been over for an hour, by what its alerts or a person said, and an
    alert `begins`: what only goes on, or ends, belongs to the last one.
    """
    hashed = _hashed(key)
    fresh_id = f"A-{code(f'{now.isoformat()} {key}')}"
    row = await one_row(conn, LOCK_GROUP_SQL, source_id, hashed, fresh_id, now)
    external_id: str = row["external_id"]
    over_since = row["ended_at"] or await conn.fetchval(RESOLVED_SQL, source_name, external_id)
    if begins and over_since is not None and over_since + SAME_INCIDENT_FOR < now:
        await conn.execute(NEXT_SQL, source_id, hashed, fresh_id, now)
        external_id = fresh_id
    else:
        await conn.execute(ENDED_SQL, source_id, hashed, now if ended else None)
    return external_id
