"""The delivery log: what was tried for one endpoint and what came of it, and trying it again."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

import asyncpg
from pydantic import BaseModel, ConfigDict

from dispatcher.announce import EventType, WebhookTest, stored
from dispatcher.db import Connection
from dispatcher.stages.webhooks.outgoing import AttemptError, Outcome

State = Literal["waiting", "sending", "delivered", "failed"]

KEPT_FOR: Final = timedelta(days=30)
TRIM_AT_ONCE: Final = 1000

_ROWS: Final = """
select d.id, d.event_id, d.endpoint_id, d.state, d.attempt, greatest(d.due_at, s.not_before) as due_at,
       d.ended_at, d.log, e.type, e.at
from webhook_delivery d join webhook_event e on e.id = d.event_id
left join webhook_strain s on s.endpoint_id = d.endpoint_id
"""
LIST_SQL = f"""
{_ROWS} where d.endpoint_id = $1 and ($2::bigint is null or d.id < $2) and ($3::text is null or d.state = $3)
order by d.id desc limit $4
"""
FIND_SQL = f"{_ROWS} where d.id = $1 and d.endpoint_id = $2"
# What is being sent will have its end without us. A person's wish ends the pause that the receiver asked
# for; it may ask again.
RESEND_SQL = """
with wanted as (
    update webhook_delivery set state = 'waiting', due_at = $3, ended_at = null
    where id = $1 and endpoint_id = $2 and (state <> 'sending' or lease_until < clock_timestamp())
    returning endpoint_id
)
update webhook_strain s set not_before = least(not_before, $3) from wanted
where s.endpoint_id = wanted.endpoint_id
"""
TEST_SQL = """
with event as (insert into webhook_event (type, data, at) values ($2, $3, $4) returning id)
insert into webhook_delivery (event_id, endpoint_id, state, attempt, due_at, lease_until)
select id, $1, 'sending', 1, $4, clock_timestamp() + make_interval(secs => $5) from event
returning id, event_id
"""
# What waits is not forgotten: it ends by being told or given up. Events go when nobody's log has them.
TRIM_SQL = """
delete from webhook_event where id in (
    select e.id from webhook_event e
    where e.at < $1 and not exists (
        select from webhook_delivery d join webhook_endpoint p on p.id = d.endpoint_id
        where d.event_id = e.id and d.state in ('waiting', 'sending') and p.disabled_at is null)
    order by e.at limit $2)
"""


class Try(BaseModel):
    """One attempt; `status` null without an answer, `error` empty where all was well."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    status: int | None
    ms: int
    error: AttemptError
    excerpt: str

    @classmethod
    def of(cls, outcome: Outcome, *, at: datetime) -> "Try":
        """What is kept of an outcome."""
        return cls(
            at=at,
            status=outcome.status,
            ms=outcome.ms,
            error=outcome.trouble,
            excerpt=outcome.excerpt,
        )


class Logged(BaseModel):
    """One message and its attempts so far."""

    model_config = ConfigDict(frozen=True)

    id: int
    event_id: int
    endpoint_id: int
    type: EventType
    at: datetime
    state: State
    attempt: int
    due_at: datetime
    ended_at: datetime | None
    log: tuple[Try, ...]


def _logged(row: asyncpg.Record) -> Logged:
    return Logged.model_validate(dict(row))


async def list_log(
    conn: Connection, endpoint_id: int, *, before: int | None, state: State | None, limit: int
) -> list[Logged]:
    """Newest first."""
    rows = await conn.fetch(LIST_SQL, endpoint_id, before, state, limit)
    return [_logged(row) for row in rows]


async def find_logged(conn: Connection, endpoint_id: int, delivery_id: int) -> Logged | None:
    """One message to this endpoint, None where there is none."""
    row = await conn.fetchrow(FIND_SQL, delivery_id, endpoint_id)
    return _logged(row) if row else None


async def resend(conn: Connection, endpoint_id: int, delivery_id: int, *, now: datetime) -> None:
    """Have a message sent once more, whatever came of it; leaves alone what is just being sent."""
    await conn.execute(RESEND_SQL, delivery_id, endpoint_id, now)


async def open_test(
    conn: Connection, endpoint_id: int, *, lease_s: float, now: datetime
) -> tuple[int, int, dict[str, Any]]:
    """A test in the log that the caller is about to send: its number, its event's, and its data."""
    data = stored(WebhookTest())
    args = (endpoint_id, EventType.WEBHOOK_TEST.value, data, now, lease_s)
    row = await conn.fetchrow(TEST_SQL, *args)
    if row is None:
        raise LookupError("nothing was inserted")
    return row["id"], row["event_id"], data


async def trim_log(conn: Connection, *, now: datetime) -> None:
    """Forget what is older than a month, a thousand events at a time."""
    await conn.execute(TRIM_SQL, now - KEPT_FOR, TRIM_AT_ONCE)
