"""The ways messages leave: limits, what is left of them, what waits; and a person's word to stop one."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from channels.model import ChannelKind
from channels.pacing import BucketState, Limit, units_left
from dispatcher.audit import note
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.breaker import Breaker, BreakerState
from dispatcher.rules.problem import invalid, not_found
from dispatcher.rules.states import SliceState
from dispatcher.stages import halt
from dispatcher.web.answers import Reply
from dispatcher.web.channel_models import (
    ChannelHealth,
    ChannelPage,
    ChannelPause,
    ChannelPauseIn,
    ChannelView,
    Sender,
    Window,
)
from dispatcher.web.lists import PageQuery, whole_reply
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain

SENDERS_SQL = """
select id, channel, provider, identity, configured, limits, trips, paused_until, paused_why from sender
order by channel, configured desc, id
"""
BUCKETS_SQL = "select sender_id, seconds, next_free, cells, cell_no from bucket"
PAUSES_SQL = """
select channel, paused_at, until, paused_by, reason from channel_pause where coalesce(until > $1, true)
"""
# Who paused it, and in which words, may tell of other customers; the wall does not let it through either.
OWN_PAUSES_SQL = """
select channel, paused_at, until, null as paused_by, null as reason from channel_pause
where coalesce(until > $1, true)
"""
WAITING_SQL = f"""
select channel, sum(n)::bigint as n from (
    select channel, n from slice where state = {SliceState.WAITING:d}
    union all
    select channel, n from slice where state = {SliceState.RELEASED:d}) w
group by channel
"""


async def list_channels(call: Call[None, PageQuery]) -> Reply:
    """Limits, what is left of them now, how many wait, and what is stopped, why, and by whom."""
    async with call.connection() as conn:
        views = await _views(conn, call.ctx.now(), limited=call.caller.limited)
    return whole_reply(call, views, [(view.channel,) for view in views], ChannelPage)


async def pause(call: Call[ChannelPauseIn, NoQuery]) -> Reply:
    """Let nothing more leave on a channel, P0 neither, until somebody resumes it, or until `until`.

    What is on its way to the provider arrives; all else waits, and expires when it is too old to be of use.
    Needs no If-Match: paused is paused; said again otherwise, the newest reason and end count.
    """
    body, now = call.body, call.ctx.now()
    kind = _kind_of(call.path("channel"))
    if body.until is not None and body.until <= now:
        raise invalid("/until", "in_the_past", "The pause would be over already")

    async def work(conn: Connection) -> ChannelView:
        if await halt.pause_channel(
            conn, kind, reason=body.reason, until=body.until, actor=call.actor, now=now
        ):
            detail = body.model_dump(mode="json", exclude_none=True)
            await _note(conn, call, "pause", kind, detail)
        return await _view(conn, kind, now)

    return Reply(await in_transaction(call.ctx.pool, work, rng=call.ctx.rng, wait_s=POOL_WAIT_S))


async def resume(call: Plain) -> Reply:
    """Let a channel go on: the most urgent first, of one urgency the newest.

    Only a person's pause ends by it: a provider that refuses us still gets its rest. Needs no If-Match;
    where nobody has paused it, nothing changes.
    """
    now, kind = call.ctx.now(), _kind_of(call.path("channel"))

    async def work(conn: Connection) -> ChannelView:
        if await halt.resume_channel(conn, kind, now=now):
            await _note(conn, call, "resume", kind, {})
        return await _view(conn, kind, now)

    return Reply(await in_transaction(call.ctx.pool, work, rng=call.ctx.rng, wait_s=POOL_WAIT_S))


def _kind_of(word: str) -> ChannelKind:
    try:
        return ChannelKind(word)
    except ValueError:
        raise not_found("channel") from None


async def _note(
    conn: Connection, call: Call[Any, Any], action: str, kind: ChannelKind, detail: dict[str, Any]
) -> None:
    await note(
        conn,
        at=call.ctx.now(),
        actor=call.actor,
        action=f"channel.{action}",
        thing=kind,
        detail=detail,
    )


async def _view(conn: Connection, kind: ChannelKind, now: datetime) -> ChannelView:
    views = await _views(conn, now, limited=False)
    return next(view for view in views if view.channel == kind)


async def _views(conn: Connection, now: datetime, *, limited: bool) -> list[ChannelView]:
    """All channels. `limited`: without what tells of other customers, such as how much is sent."""
    senders = await conn.fetch(SENDERS_SQL)
    states = None if limited else await _states(conn)
    pauses = await conn.fetch(OWN_PAUSES_SQL if limited else PAUSES_SQL, now)
    paused = {row["channel"]: _pause(row) for row in pauses}
    waiting = {} if limited else {r["channel"]: r["n"] for r in await conn.fetch(WAITING_SQL)}
    rows: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in senders:
        rows[row["channel"]].append(row)
    return [
        ChannelView(
            channel=kind,
            configured=_configured(kind, rows[kind.code]),
            health=_health(kind, rows[kind.code], paused=kind.code in paused, now=now),
            pause=paused.get(kind.code),
            waiting=None if limited else waiting.get(kind.code, 0),
            senders=[_sender(row, states, now) for row in rows[kind.code]],
        )
        for kind in ChannelKind
    ]


async def _states(conn: Connection) -> dict[tuple[int, int], BucketState]:
    return {
        (row["sender_id"], row["seconds"]): BucketState(
            row["next_free"], tuple(row["cells"]) or BucketState().cells, row["cell_no"]
        )
        for row in await conn.fetch(BUCKETS_SQL)
    }


def _pause(row: asyncpg.Record) -> ChannelPause:
    return ChannelPause(
        since=row["paused_at"], until=row["until"], by=row["paused_by"], reason=row["reason"]
    )


def _configured(kind: ChannelKind, senders: list[asyncpg.Record]) -> bool:
    """Of a banner nothing is sent, so nothing needs credentials."""
    return kind is ChannelKind.BANNER or any(row["configured"] for row in senders)


def _health(
    kind: ChannelKind, senders: list[asyncpg.Record], *, paused: bool, now: datetime
) -> ChannelHealth:
    """What keeps it from sending; where several things do, the one that a person has to see to first."""
    if not _configured(kind, senders):
        return ChannelHealth.NOT_CONFIGURED
    if paused:
        return ChannelHealth.PAUSED
    states = {
        Breaker(trips=row["trips"], paused_until=row["paused_until"]).state(now)
        for row in senders
        if row["configured"]
    }
    if BreakerState.OPEN in states:
        return ChannelHealth.STOPPED
    return ChannelHealth.PROBATION if BreakerState.PROBING in states else ChannelHealth.READY


def _sender(
    row: asyncpg.Record, states: Mapping[tuple[int, int], BucketState] | None, now: datetime
) -> Sender:
    stopped = row["paused_until"] is not None and row["paused_until"] > now
    return Sender(
        provider=row["provider"],
        identity=row["identity"],
        windows=_windows(row, states, now.timestamp()),
        paused_until=row["paused_until"] if stopped else None,
        paused_why=row["paused_why"] if stopped else None,
    )


def _windows(
    sender: asyncpg.Record, states: Mapping[tuple[int, int], BucketState] | None, now: float
) -> list[Window]:
    windows = []
    for item in sender["limits"]:
        left = None
        if states is not None:
            limit = Limit(item["count"], item["seconds"])
            state = states.get((sender["id"], item["seconds"]), BucketState())
            left = units_left(limit, state, now)
        windows.append(Window(limit=item["count"], seconds=item["seconds"], left=left))
    return windows
