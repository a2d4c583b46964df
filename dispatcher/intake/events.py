"""What came in: what was said already, so that nothing counts twice, and the inspector's list of events."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.intake.masks import masked_body, shortened
from dispatcher.intake.model import Request
from dispatcher.intake.proof import as_bytes
from dispatcher.seal import seal, unseal

KEPT_EVENTS: Final = 100
# Of requests that nobody proved; more would push out what is true.
KEPT_FORGED: Final = 10
# Of one source, in all: a sender of huge events has fewer of them kept.
KEPT_BYTES: Final = 8 * 1024 * 1024
KEPT_FOR: Final = timedelta(days=7)
# Senders repeat what goes on; what was not repeated for a quarter of a year does not come again. What
# went out to customers is remembered for good: a signature without a time may be shown again at any time.
REMEMBERED_FOR: Final = timedelta(days=90)
_LONGEST_DETAIL: Final = 500
_KEY_PURPOSE: Final = "intake-event"
# What an adapter reads of the headers, and nothing that proves anything.
_KEPT_HEADERS: Final = ("content-type", "user-agent", "webhook-id")

# Who said it first holds the row until its end, so the second one waits and then finds the result.
SAY_SQL = """
insert into intake_said (source_id, key, seen_at)
select $1, key, $3 from unnest($2::bytea[]) as said (key) order by key
on conflict (source_id, key) do update set
    seen_at = case when $4 then excluded.seen_at else intake_said.seen_at end
returning key, result
"""
LAST_SAID_SQL = (
    "select key, seen_at from intake_said where source_id = $1 and key = any($2::bytea[])"
)
SETTLE_SQL = """
update intake_said set result = $3 where source_id = $1 and key = any($2::bytea[])
"""
ADD_EVENT_SQL = """
insert into intake_event (source_id, at, outcome, detail, result, shown, sealed, replay_of)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning id
"""
ADD_FORGED_SQL = """
insert into intake_event (source_id, at, outcome, detail) values ($1, $2, 'forged', $3)
"""
# With each event that is added, so that a flood never holds more than this. Who adds at the same time
# does not wait for the same old rows.
TRIM_SQL = """
delete from intake_event where id in (
    select e.id from intake_event e join (
        select id, outcome = 'forged' as forged,
               row_number() over (partition by outcome = 'forged' order by id desc) as place,
               sum(coalesce(octet_length(sealed), 0)) over (order by id desc) as held
        from intake_event where source_id = $1) kept on kept.id = e.id
    where kept.held > $4 or kept.place > case when kept.forged then $3::int else $2::int end
    for update of e skip locked)
"""
EVENTS_SQL = """
select id, at, outcome, detail, result, shown, replay_of from intake_event
where source_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3
"""
EVENTS_SINCE_SQL = """
select id, at, outcome, detail, result, shown, replay_of from intake_event
where source_id = $1 and id > $2 order by id limit $3
"""
EVENT_SQL = "select * from intake_event where id = $1"
# When a source was last heard of is known for longer than what it said.
LAST_HEARD_SQL = """
update source s set last_event_at = greatest(s.last_event_at, e.at)
from (select source_id, max(at) as at from intake_event
      where at < $1 and outcome <> 'forged' and replay_of is null group by 1) e
where s.id = e.source_id
"""
TRIM_OLD_SQL = "delete from intake_event where at < $1"
TRIM_SAID_SQL = """
delete from intake_said where seen_at < $1 and result ->> 'dispatch_id' is null
"""
# Whatever fires in it then is another incident anyway.
TRIM_GROUPS_SQL = "delete from intake_group where ended_at < $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One event as the inspector has it; `shown` is masked JSON text."""

    id: int
    at: datetime
    outcome: str
    detail: str
    result: Mapping[str, Any] | None
    shown: str = field(repr=False)
    replay_of: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What became of a request: a word, why, and what it was made into."""

    outcome: str
    detail: str = ""
    result: Mapping[str, Any] | None = None
    replay_of: int | None = None


async def said_before(
    conn: Connection, source_id: int, keys: Sequence[str], *, now: datetime, by_sender: bool
) -> dict[str, Mapping[str, Any] | None]:
    """The result of each key that was said before, None for those that are new.

    The new ones belong to this transaction, which must `settle` them. What is not `by_sender` does
    not change when they were said last.
    """
    by_hash = {_hashed(key): key for key in keys}
    rows = await conn.fetch(SAY_SQL, source_id, list(by_hash), now, by_sender)
    return {by_hash[bytes(row["key"])]: row["result"] for row in rows}


async def last_said(conn: Connection, source_id: int, keys: Sequence[str]) -> dict[str, datetime]:
    """When each key that was said before was said last."""
    by_hash = {_hashed(key): key for key in keys}
    rows = await conn.fetch(LAST_SAID_SQL, source_id, list(by_hash))
    return {by_hash[bytes(row["key"])]: row["seen_at"] for row in rows}


async def settle(
    conn: Connection, source_id: int, keys: Sequence[str], result: Mapping[str, Any]
) -> None:
    """What became of these keys: whoever says them again gets it as the answer."""
    await conn.execute(SETTLE_SQL, source_id, [_hashed(key) for key in keys], dict(result))


async def add_event(
    conn: Connection,
    ctx: Context,
    source_id: int,
    request: Request,
    happened: Happened,
    *,
    now: datetime,
) -> int:
    """Keep one event of a proven sender, as it came and as it may be shown; its number."""
    headers = {
        name: _as_text(value)
        for name, value in request.headers.items()
        if name in _KEPT_HEADERS or name.startswith("ce-")
    }
    packed = b"%b\n%b" % (orjson.dumps(headers), request.body)
    event_id: int = await conn.fetchval(
        ADD_EVENT_SQL,
        source_id,
        now,
        happened.outcome,
        shortened(happened.detail, _LONGEST_DETAIL),
        None if happened.result is None else dict(happened.result),
        masked_body(request.body),
        seal(ctx.signer.derived_key(_KEY_PURPOSE), packed, about=_about(source_id)),
        happened.replay_of,
    )
    await _trim(conn, source_id)
    return event_id


async def add_forged(conn: Connection, source_id: int, detail: str, *, now: datetime) -> None:
    """Note that somebody could not prove to be the sender, without anything of what was sent."""
    await conn.execute(ADD_FORGED_SQL, source_id, now, detail)
    await _trim(conn, source_id)


async def list_events(
    conn: Connection, source_id: int, *, before: int | None, limit: int
) -> list[Seen]:
    """Newest first."""
    return [_seen(row) for row in await conn.fetch(EVENTS_SQL, source_id, before, limit)]


async def events_since(conn: Connection, source_id: int, *, after: int, limit: int) -> list[Seen]:
    """Oldest first, of those that came later than `after`."""
    return [_seen(row) for row in await conn.fetch(EVENTS_SINCE_SQL, source_id, after, limit)]


async def stored_request(
    conn: Connection, ctx: Context, event_id: int
) -> tuple[int, Request | None] | None:
    """Its source, and the request as it came; that is None for one that nobody had proved.

    None where there is no such event any more. Raises BrokenSealError.
    """
    row = await conn.fetchrow(EVENT_SQL, event_id)
    if row is None:
        return None
    if row["sealed"] is None:
        return row["source_id"], None
    key = ctx.signer.derived_key(_KEY_PURPOSE)
    packed = unseal(key, row["sealed"], about=_about(row["source_id"]))
    headers, _, body = packed.partition(b"\n")
    return row["source_id"], Request(body=body, headers=orjson.loads(headers))


async def trim_events(conn: Connection, *, now: datetime) -> None:
    """Forget what is older than a week, keys that came no more, and groups that are long over."""
    await conn.execute(LAST_HEARD_SQL, now - KEPT_FOR)
    await conn.execute(TRIM_OLD_SQL, now - KEPT_FOR)
    await conn.execute(TRIM_SAID_SQL, now - REMEMBERED_FOR)
    await conn.execute(TRIM_GROUPS_SQL, now - REMEMBERED_FOR)


async def _trim(conn: Connection, source_id: int) -> None:
    await conn.execute(TRIM_SQL, source_id, KEPT_EVENTS, KEPT_FORGED, KEPT_BYTES)


def _hashed(key: str) -> bytes:
    return hashlib.sha256(as_bytes(key)).digest()


def _as_text(value: str) -> str:
    return as_bytes(value).decode("utf-8", "replace")


def _about(source_id: int) -> str:
    return f"event of source {source_id}"


def _seen(row: asyncpg.Record) -> Seen:
    return Seen(
        id=row["id"],
        at=row["at"],
        outcome=row["outcome"],
        detail=row["detail"],
        result=row["result"],
        shown=row["shown"],
        replay_of=row["replay_of"],
    )
