"""Failed deliveries, told many at a time: a clock looks at the slices of a dispatch, not the hot path.

A slice whose counters have moved is looked through by key, and what was told of it is kept with it. So
whatever fails is told once, also what bounces days after the dispatch is over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, cast

import asyncpg
import orjson

from channels.model import ChannelKind
from dispatcher.announce import (
    BODY_LIMIT,
    MOST_FAILURES,
    DeliveryFailed,
    EventType,
    FailedDelivery,
    announce_all,
)
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.reasons import words_for
from dispatcher.rules.states import (
    FAILED_IN_ANY_ATTEMPT,
    DeliveryState,
    Purpose,
    Shown,
    SliceState,
    shown,
)

SLICES_A_TURN: Final = 50
LOOK_EVERY: Final = timedelta(seconds=5)
_SELDOM: Final = timedelta(minutes=1)
WATCHED_FOR: Final = timedelta(days=7)
"""After its end: a bounce that comes later is in the report, and nobody is told."""
_SHARE: Final = 20
# What all else in a body may take, see `DeliveryFailed`.
_ROOM: Final = BODY_LIMIT - 3000

CLAIM_SQL = """
select w.dispatch_id, d.update_id, d.created_at, d.completed_at, d.paused_at, i.id as incident_id, i.source,
       i.external_id
from failure_watch w join dispatch d on d.id = w.dispatch_id join incident i on i.id = d.incident_id
where w.dispatch_id = $1 and w.due_at <= $2 for update of w skip locked
"""
# Those of failed, expired or unconfirmed that came, or went, since. First all of the dispatch, by its index:
# a planner that may stop early would rather walk through the slices of everybody.
CHANGED_SQL = f"""
with changed as materialized (
    select s.id, s.mark from (
        select id, hash_record_extended(row(state, n_by_status, n_merges), 0) as mark from slice
        where dispatch_id = $1 and n_by_status[{Shown.FAILED + 1}] + n_by_status[{Shown.EXPIRED + 1}]
                                   + n_by_status[{Shown.UNCONFIRMED + 1}] > 0) s
    left join failure_told t on t.dispatch_id = $1 and t.slice_id = s.id
    where t.mark is distinct from s.mark
), due as materialized (select * from changed order by id limit $2)
select s.id, s.channel, s.purpose, s.state, s.endpoint_ids, due.mark,
       coalesce(t.endpoint_ids, '{{}}') as told
from due join slice s on s.id = due.id and s.id = any(array(select id from due))
left join failure_told t on t.dispatch_id = $1 and t.slice_id = s.id
order by s.id
"""
FAILED_SQL = f"""
select endpoint_id, account_id, contact_version, state, attempt, evidence, reason, done_at from delivery
where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[]) and slice_id = $5
  and endpoint_id <> all($6::bigint[])
  and (state in ({DeliveryState.REJECTED:d}, {DeliveryState.EXPIRED:d}, {DeliveryState.UNCONFIRMED:d})
       or evidence & {FAILED_IN_ANY_ATTEMPT} <> 0)
order by endpoint_id
"""
TOLD_SQL = """
insert into failure_told as t (dispatch_id, slice_id, mark, endpoint_ids)
values ($1, $2, $3, $4)
on conflict (dispatch_id, slice_id) do update
    set mark = excluded.mark, endpoint_ids = t.endpoint_ids || excluded.endpoint_ids
"""
ACCOUNTS_SQL = "select id, external_id from account where id = any($1::bigint[])"
CONTACTS_SQL = """
select v.id, coalesce(c.external_id, '') as external_id
from contact_version v join contact c on c.id = v.contact_id where v.id = any($1::bigint[])
"""
LATER_SQL = "update failure_watch set due_at = $2 where dispatch_id = $1"
OVER_SQL = "delete from failure_watch where dispatch_id = $1"


@dataclass(frozen=True, slots=True)
class _Failure:
    """One delivery that failed; `row` as in the database, `slice` where it is."""

    row: asyncpg.Record
    slice: asyncpg.Record
    status: Shown


async def tell_failures(ctx: Context, dispatch_id: int) -> None:
    """Tell what failed in one dispatch since the last look. Does nothing while another worker does it."""
    await in_transaction(ctx.pool, partial(_look, ctx, dispatch_id), rng=ctx.rng)


async def _look(ctx: Context, dispatch_id: int, conn: Connection) -> None:
    now, began = ctx.now(), ctx.clock.monotonic()
    watched = await conn.fetchrow(CLAIM_SQL, dispatch_id, now)
    if watched is None:
        return
    changed = await conn.fetch(CHANGED_SQL, dispatch_id, SLICES_A_TURN)
    found: list[_Failure] = []
    for place in changed:
        fresh = await _failures(conn, watched, place)
        endpoints = [failure.row["endpoint_id"] for failure in fresh]
        await conn.execute(TOLD_SQL, dispatch_id, place["id"], place["mark"], endpoints)
        found += fresh
    if found:
        events = await _events(conn, watched, found, now)
        await announce_all(conn, EventType.DELIVERY_FAILED, events, now=now)
    ended = watched["completed_at"]
    if ended is not None and now - ended > WATCHED_FOR and not changed:
        await conn.execute(OVER_SQL, dispatch_id)
        return
    took = timedelta(seconds=ctx.clock.monotonic() - began)
    more = len(changed) == SLICES_A_TURN
    pause = _SHARE * took if more else max(_pause(watched, now), _SHARE * took)
    await conn.execute(LATER_SQL, dispatch_id, now + pause)


def _pause(watched: asyncpg.Record, now: datetime) -> timedelta:
    """As for its report: soon at first, less and less often as it grows old."""
    ended: datetime | None = watched["completed_at"]
    if ended is not None:
        return max(LOOK_EVERY, (now - ended) / _SHARE)
    age: timedelta = now - watched["created_at"]
    return max(LOOK_EVERY, min(_SELDOM, age / 60))


async def _failures(
    conn: Connection, watched: asyncpg.Record, place: asyncpg.Record
) -> list[_Failure]:
    rows = await conn.fetch(
        FAILED_SQL,
        watched["update_id"],
        place["channel"],
        place["purpose"],
        place["endpoint_ids"],
        place["id"],
        place["told"],
    )
    judged = [_Failure(row, place, _status(row, place)) for row in rows]
    return [item for item in judged if _is_final(item)]


def _status(row: asyncpg.Record, place: asyncpg.Record) -> Shown:
    state, stands = DeliveryState(row["state"]), SliceState(place["state"])
    return shown(state, stands, row["attempt"], row["evidence"])


def _is_final(failure: _Failure) -> bool:
    """A retry is not a failure yet, and doubt about a slice in flight is not decided yet."""
    if failure.status is Shown.FAILED:
        return True
    decided = failure.row["state"] != DeliveryState.PLANNED
    return decided and failure.status in {Shown.EXPIRED, Shown.UNCONFIRMED}


async def _events(
    conn: Connection, watched: asyncpg.Record, found: Sequence[_Failure], now: datetime
) -> list[DeliveryFailed]:
    accounts = await _names(conn, ACCOUNTS_SQL, {item.row["account_id"] for item in found})
    contacts = await _names(conn, CONTACTS_SQL, {item.row["contact_version"] for item in found})
    about = {
        name: watched[name]
        for name in ("incident_id", "update_id", "dispatch_id", "source", "external_id")
    }
    texts: dict[str, str] = {}
    items = []
    for failure in found:
        row = failure.row
        words = words_for(failure.status, row["reason"])
        texts[words.code] = words.text
        items.append(
            FailedDelivery(
                account=accounts.get(row["account_id"], ""),
                contact=contacts.get(row["contact_version"], ""),
                channel=ChannelKind.from_code(failure.slice["channel"]).value,
                purpose=Purpose(failure.slice["purpose"]).name.lower(),
                status=cast("Literal['failed', 'expired', 'unconfirmed']", failure.status.word),
                reason=words.code,
                at=row["done_at"] or now,
            )
        )
    return [
        DeliveryFailed(
            **about,
            reasons={code: texts[code] for code in sorted({item.reason for item in some})},
            deliveries=tuple(some),
        )
        for some in _batches(items, texts)
    ]


async def _names(conn: Connection, sql: str, numbers: set[int | None]) -> dict[int, str]:
    known = sorted(number for number in numbers if number is not None)
    return {row["id"]: row["external_id"] for row in await conn.fetch(sql, known)}


def _batches(
    items: Sequence[FailedDelivery], texts: Mapping[str, str]
) -> Iterator[list[FailedDelivery]]:
    """Up to a hundred at a time, and never more than fit into one body."""
    some: list[FailedDelivery] = []
    size, named = 0, set[str]()
    for item in items:
        room = _size(item.model_dump(mode="json"))
        words = 0 if item.reason in named else _size({item.reason: texts[item.reason]})
        if some and (len(some) == MOST_FAILURES or size + room + words > _ROOM):
            yield some
            some, size, named = [], 0, set()
            words = _size({item.reason: texts[item.reason]})
        some.append(item)
        size += room + words
        named.add(item.reason)
    if some:
        yield some


def _size(value: Mapping[str, Any]) -> int:
    return len(orjson.dumps(value)) + 1
