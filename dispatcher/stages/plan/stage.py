"""Plan one update. Killed between ranges, it resumes from the cursor; a range is all or nothing."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg

from channels.model import ChannelKind
from channels.pacing import Limit, units_within
from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.failpoints import reach
from dispatcher.jobs import Event, publish
from dispatcher.rules.audience import audience_query
from dispatcher.rules.policy import Severity
from dispatcher.rules.reasons import Decision
from dispatcher.stages.plan import sql
from segments.audience import planned_for_its_values
from segments.model import Exclusion
from segments.voices import ensure_voice
from templates.facts import Facts

PUBLISHES = ("slices.waiting", "dispatch.planned")

RANGE = 20_000
ANALYZE_FROM = 50_000
# Slices of texts cover about a second of the sender's rate, so that what waits behind waits a second.
SLICE_LIMIT = {
    ChannelKind.EMAIL: 1000,
    ChannelKind.SMS: 100,
    ChannelKind.SOCIAL: 1,
    ChannelKind.BANNER: 1000,
}


class CancelledMeanwhileError(Exception):
    """Somebody cancelled the dispatch while a range was planned; the range is taken back."""


async def run(ctx: Context, update_id: int) -> None:
    """Fan one approved update out, range by range; every committed range may start sending at once."""
    planned = 0
    while True:
        async with ctx.pool.acquire() as conn:
            try:
                done, fresh = await _plan_range(conn, ctx, update_id)
            except CancelledMeanwhileError:
                return
            planned += fresh
            if done:
                if planned >= ANALYZE_FROM:
                    # Without statistics a fresh partition is planned as if it were empty.
                    await conn.execute("analyze delivery")
                return
        await reach("plan.between_ranges")


async def _plan_range(conn: Connection, ctx: Context, update_id: int) -> tuple[bool, int]:
    async with planned_for_its_values(conn):
        now = ctx.now()
        if not await conn.fetchval(sql.ALONE_SQL, update_id):
            return True, 0
        update = await conn.fetchrow(sql.CLAIM_SQL, update_id)
        if update is None:
            return True, 0
        last = await conn.fetchval(sql.LAST_CONTACT_SQL)
        lo, hi = update["cursor"], min(update["cursor"] + RANGE, last)
        ways = await _ways(conn, ctx, update, now)
        row = await _fan_out(conn, ctx, update, ways, lo=lo, hi=hi, now=now)
        dispatch = update["dispatch_id"]
        if await conn.fetchval(sql.MOVE_CURSOR_SQL, dispatch, update["cursor"], hi) is None:
            raise CancelledMeanwhileError
        priority = 10 - update["severity"]
        events = [Event("slices.waiting", sender, priority) for sender in row["senders"] or ()]
        finished = hi >= last
        if finished:
            events += await _finish(conn, ctx, update, ways, now, priority)
        await publish(conn, events)
    await reach("plan.after_range")
    return finished, row["planned"]


async def _ways(
    conn: Connection, ctx: Context, update: asyncpg.Record, now: datetime
) -> dict[int, dict[str, Any]]:
    """Per channel: its sender, whether it can send, slice size, and when its messages grow stale."""
    severity = ctx.policy.of(Severity(update["severity"]))
    facts = Facts.model_validate(update["facts"])
    senders = {row["channel"]: row for row in await conn.fetch(sql.SENDERS_SQL)}
    ways: dict[int, dict[str, Any]] = {}
    for kind in ChannelKind:
        sender = senders.get(kind.code)
        life = severity.time_to_live.get(kind, timedelta(days=2))
        expires = update["decided_at"] + life
        # The promise of another update ends with the incident; an all-clear outlives it.
        if update["kind"] != "resolved" and facts.next_update_by and facts.next_update_by > now:
            expires = min(expires, facts.next_update_by)
        ways[kind.code] = {
            "sender_id": sender["id"] if sender else None,
            "configured": kind is ChannelKind.BANNER or bool(sender and sender["configured"]),
            "size": _slice_size(kind, sender["limits"] if sender else []),
            "expires_at": expires,
        }
    return ways


def _slice_size(kind: ChannelKind, limits: list[dict[str, int]]) -> int:
    windows = [Limit(limit["count"], limit["seconds"]) for limit in limits]
    return min(SLICE_LIMIT[kind], units_within(windows, 1.0))


async def _fan_out(
    conn: Connection,
    ctx: Context,
    update: asyncpg.Record,
    ways: dict[int, dict[str, Any]],
    *,
    lo: int,
    hi: int,
    now: datetime,
) -> asyncpg.Record:
    severity = Severity(update["severity"])
    query = audience_query(
        ctx.policy,
        ctx.segment_rules,
        severity=severity,
        visibility=update["visibility"],
        component_ids=update["component_ids"],
        audience=update["audience"],
    )
    row = await one_row(
        conn,
        sql.FAN_OUT_SQL,
        *query.params(lo, hi, now),
        list(ways),
        *(
            [way[name] for way in ways.values()]
            for name in ("sender_id", "configured", "size", "expires_at")
        ),
        Exclusion.NOT_CONFIGURED,
        Decision.NO_WORDS,
        update["id"],
        ["en"],
        update["incident_id"],
        update["dispatch_id"],
        ctx.policy.of(severity).lane,
    )
    if row["covered"]:
        columns = [list(column) for column in zip(*row["covered"], strict=True)]
        await conn.execute(
            sql.COVERED_SQL,
            *columns,
            update["id"],
            update["incident_id"],
            update["dispatch_id"],
            now,
            Exclusion.SHARED_INBOX,
        )
    return row


async def _finish(
    conn: Connection,
    ctx: Context,
    update: asyncpg.Record,
    ways: dict[int, dict[str, Any]],
    now: datetime,
    priority: int,
) -> list[Event]:
    """The public voice, the banner's wake-up, and the end of planning."""
    events: list[Event] = []
    way = ways[ChannelKind.SOCIAL.code]
    voice = await ensure_voice(conn, ctx.settings.senders.social, now)
    posted = await conn.execute(
        sql.SOCIAL_SQL,
        update["id"],
        voice,
        way["configured"],
        Exclusion.NOT_CONFIGURED,
        update["incident_id"],
        update["dispatch_id"],
        way["sender_id"],
        ctx.policy.of(Severity(update["severity"])).lane,
        now,
        way["expires_at"],
    )
    if posted == "INSERT 0 1" and way["configured"]:
        events.append(Event("slices.waiting", way["sender_id"], priority))
    await conn.execute(sql.BANNER_EVENT_SQL, update["incident_id"], update["id"], now)
    await conn.execute(sql.UPDATE_PLANNED_SQL, update["id"])
    await conn.execute(sql.PLANNED_SQL, update["dispatch_id"], now)
    events.append(Event("dispatch.planned", update["dispatch_id"], priority))
    return events
