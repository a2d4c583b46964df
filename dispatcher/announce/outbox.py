"""The outbox: what happened is written beside it, in its own transaction, for all who asked to be told.

So what was committed is told, at least once, and what was rolled back is not. No job is published here:
transactions that wake the same endpoint would wait for each other, and an approval for a frozen one. The
clock of the workers looks each second.
"""

from collections.abc import Sequence
from datetime import datetime

from dispatcher.announce.model import MODELS, Data, EventType, stored
from dispatcher.db import Connection

WANTED_SQL = """
select distinct unnest(events) as type from webhook_endpoint where disabled_at is null
"""
# Held, so that none is removed meanwhile; one that is being removed just now is left out and not waited
# for, which may take a while. Whoever tells must neither fail nor stand still by it.
ANNOUNCE_SQL = """
with told as (
    select id from webhook_endpoint where disabled_at is null and $1::text = any(events)
    order by id for key share skip locked
), event as (
    insert into webhook_event (type, data, at)
    select $1, d.data, $3 from unnest($2::jsonb[]) as d(data) where exists (select from told)
    returning id
), due as (
    insert into webhook_delivery (event_id, endpoint_id, due_at)
    select event.id, told.id, $3 from event, told
)
select count(*) from told
"""


async def wanted(conn: Connection) -> frozenset[str]:
    """What anybody asked to be told of: look before collecting what costs something to collect.

    Types of events, also such as only a later version knows.
    """
    return frozenset(row["type"] for row in await conn.fetch(WANTED_SQL))


async def announce(conn: Connection, event_type: EventType, data: Data, *, now: datetime) -> None:
    """Tell everybody who asked for it, once the caller's transaction commits; else do nothing.

    Raises TypeError where `data` belongs to another type of event.
    """
    await announce_all(conn, event_type, [data], now=now)


async def announce_all(
    conn: Connection, event_type: EventType, events: Sequence[Data], *, now: datetime
) -> None:
    """As `announce`, for several events of one type at once."""
    if any(type(data) is not MODELS[event_type] for data in events):
        raise TypeError(f"{event_type} is told with {MODELS[event_type].__name__}")
    await conn.execute(ANNOUNCE_SQL, event_type, [stored(data) for data in events], now)
