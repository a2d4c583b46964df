"""What came in: claims, so that nothing counts twice, and the inspector's list of events."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.intake.masks import masked_body, without_people
from dispatcher.intake.model import Request
from dispatcher.intake.proof import as_bytes
from dispatcher.seal import seal, unseal

KEPT_EVENTS: Final = 100
KEPT_FOR: Final = timedelta(days=7)
# Senders repeat what goes on; what was not repeated for a quarter of a year does not come again.
CLAIMED_FOR: Final = timedelta(days=90)
_BETWEEN_FORGED: Final = timedelta(seconds=10)
_LONGEST_DETAIL: Final = 500
_KEY_PURPOSE: Final = "intake-event"
# What an adapter reads of the headers, and nothing that proves anything.
_KEPT_HEADERS: Final = ("content-type", "user-agent", "webhook-id")

# Who said it first holds the row until its end, so the second one waits and then finds the result.
CLAIM_SQL = """
insert into intake_claim (source_id, key, seen_at)
select $1, key, $3 from unnest($2::bytea[]) as said (key) order by key
on conflict (source_id, key) do update set seen_at = excluded.seen_at
returning key, result
"""
SETTLE_SQL = """
update intake_claim set result = $3 where source_id = $1 and key = any($2::bytea[])
"""
ADD_EVENT_SQL = """
insert into intake_event (source_id, at, outcome, detail, result, shown, sealed, replay_of)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning id
"""
# One in a while shows the operator that a secret is wrong; more would only push out what is true.
ADD_FORGED_SQL = """
insert into intake_event (source_id, at, outcome)
select $1, $2, 'forged'
where not exists (select from intake_event where source_id = $1 and outcome = 'forged' and at > $3)
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
TRIM_SQL = """
delete from intake_event e
using source s cross join lateral (
    select o.id from intake_event o where o.source_id = s.id order by o.id desc offset $1 limit 1) last
where e.source_id = s.id and e.id <= last.id
"""
TRIM_OLD_SQL = "delete from intake_event where at < $1"
TRIM_CLAIMS_SQL = "delete from intake_claim where seen_at < $1"


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


async def claim(
    conn: Connection, source_id: int, keys: Sequence[str], *, now: datetime
) -> dict[str, Mapping[str, Any] | None]:
    """The result of each key that was said before, None for those that are new.

    The new ones belong to this transaction, which must `settle` them.
    """
    by_hash = {_hashed(key): key for key in keys}
    rows = await conn.fetch(CLAIM_SQL, source_id, list(by_hash), now)
    return {by_hash[bytes(row["key"])]: row["result"] for row in rows}


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
    packed = orjson.dumps(
        {
            "headers": {
                name: value
                for name, value in ((n, _as_text(v)) for n, v in request.headers.items())
                if name in _KEPT_HEADERS or name.startswith("ce-")
            },
            "body": request.body.decode("latin-1"),
        }
    )
    event_id: int = await conn.fetchval(
        ADD_EVENT_SQL,
        source_id,
        now,
        happened.outcome,
        without_people(happened.detail[:_LONGEST_DETAIL]),
        None if happened.result is None else dict(happened.result),
        masked_body(request.body),
        seal(ctx.signer.derived_key(_KEY_PURPOSE), packed, about=_about(source_id)),
        happened.replay_of,
    )
    return event_id


async def add_forged(conn: Connection, source_id: int, *, now: datetime) -> None:
    """Note that somebody could not prove to be the sender, without anything of what was sent."""
    await conn.execute(ADD_FORGED_SQL, source_id, now, now - _BETWEEN_FORGED)


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
    packed = orjson.loads(unseal(key, row["sealed"], about=_about(row["source_id"])))
    request = Request(body=packed["body"].encode("latin-1"), headers=packed["headers"])
    return row["source_id"], request


async def trim_events(conn: Connection, *, now: datetime) -> None:
    """Forget what is older than a week or has a hundred newer ones, and keys that came no more."""
    await conn.execute(TRIM_SQL, KEPT_EVENTS)
    await conn.execute(TRIM_OLD_SQL, now - KEPT_FOR)
    await conn.execute(TRIM_CLAIMS_SQL, now - CLAIMED_FOR)


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
