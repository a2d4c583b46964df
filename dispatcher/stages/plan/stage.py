"""Plan one update. Killed between ranges, it resumes from the cursor; a range is all or nothing."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

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
from dispatcher.stages.plan.bounds import bounds
from segments.audience import planned_for_its_values, suppressed_endpoints
from segments.model import AudienceQuery, Exclusion
from segments.voices import ensure_voice
from templates.facts import Facts

PUBLISHES = ("slices.waiting", "dispatch.planned")

# Contacts. The first messages leave when the first range is committed, so that one is small.
FIRST_RANGE: Final = 2_000
RANGE: Final = 20_000
# Where few of the contacts are to be told, ranges grow, or slices would hold a handful each.
LARGEST_RANGE: Final = 320_000
ROWS_A_RANGE: Final = 25_000
RANGES_AT_ONCE: Final = 2
ANALYZE_FROM: Final = 50_000
LOOK_WHETHER_WAITED_FOR_S: Final = 0.2
# An account is large with this part of all contacts, where it comes to some slices.
LARGE_SHARE: Final = 0.02
LARGE_FROM: Final = 5_000
# Slices of texts cover about a second of the sender's rate, so that what waits behind waits a second.
SLICE_LIMIT: Final = {
    ChannelKind.EMAIL: 1000,
    ChannelKind.SMS: 100,
    ChannelKind.SOCIAL: 1,
    ChannelKind.BANNER: 1000,
}


class NotOursError(Exception):
    """Somebody cancelled the dispatch, or plans it too; the range is taken back."""


class GiveWayError(Exception):
    """The range before waits for a row of this one, which waits for it: this one begins anew."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What all ranges of one dispatch have in common.

    `large`: accounts that take rounds of their own. `made`: slices so far, by what `FAN_OUT_SQL` calls
    their kind of round.
    """

    update: asyncpg.Record
    query: AudienceQuery
    ways: dict[int, dict[str, Any]]
    suppressed: list[int]
    lane: int
    large: list[int]
    made: list[int]

    @property
    def priority(self) -> int:
        return 10 - int(self.update["severity"])


async def run(ctx: Context, update_id: int) -> None:
    """Fan one approved update out, range by range; every committed range may start sending at once."""
    async with ctx.pool.acquire() as conn:
        job = await _job(conn, ctx, update_id)
        if job is None:
            return
        dispatch = job.update["dispatch_id"]
        lo, last = await bounds(conn, job.query, dispatch, job.update["cursor"])
    planned = await _plan_ranges(ctx, job, lo, last)
    if planned is None:
        return
    await reach("plan.between_ranges")
    async with ctx.pool.acquire() as conn:
        async with conn.transaction():
            await _finish(conn, ctx, job)
        if planned >= ANALYZE_FROM:
            # Without statistics a fresh partition is planned as if it were empty.
            partition = await conn.fetchval(sql.PARTITION_SQL, update_id)
            await conn.execute(f"analyze {partition}")


async def _job(conn: Connection, ctx: Context, update_id: int) -> _Job | None:
    update = await conn.fetchrow(sql.CLAIM_SQL, update_id)
    if update is None:
        return None
    severity = Severity(update["severity"])
    query = audience_query(
        ctx.policy,
        ctx.segment_rules,
        severity=severity,
        visibility=update["visibility"],
        component_ids=update["component_ids"],
        audience=update["audience"],
    )
    ways = await _ways(conn, ctx, update)
    suppressed = await suppressed_endpoints(conn)
    large = [row["id"] for row in await conn.fetch(sql.LARGE_ACCOUNTS_SQL, LARGE_SHARE, LARGE_FROM)]
    # None yet, unless a planner before us was killed: then each kind goes on behind all there are.
    made = await conn.fetchval(sql.SLICES_SQL, update["dispatch_id"])
    lane = ctx.policy.of(severity).lane
    return _Job(update, query, ways, suppressed, lane, large, [made] * sql.ROUND_KINDS)


def next_range(width: int, planned: int) -> int:
    """How many contacts to plan next, where `width` of them came to `planned` deliveries."""
    fitting = width * ROWS_A_RANGE // max(planned, 1)
    return max(RANGE, min(fitting, 4 * width, LARGEST_RANGE))


async def _plan_ranges(ctx: Context, job: _Job, lo: int, last: int) -> int | None:
    """All ranges from contact `lo` on, two at a time, each committed after the one before it.

    How many deliveries that made; None when the dispatch is not ours to plan (any more).
    """
    before: asyncio.Task[int] | None = None
    tasks: list[asyncio.Task[int]] = []
    widths: list[int] = []
    width = FIRST_RANGE
    ours = True
    try:
        async with asyncio.TaskGroup() as group:
            while lo < last:
                if len(tasks) >= RANGES_AT_ONCE:
                    ended = tasks[-RANGES_AT_ONCE]
                    await asyncio.wait({ended})
                    if ended.exception() is not None:
                        break
                    width = next_range(widths[-RANGES_AT_ONCE], ended.result())
                hi = min(lo + width, last)
                if job.lane > 0:
                    await ctx.precedence.give_way()
                before = group.create_task(_plan_range(ctx, job, lo, hi, before))
                tasks.append(before)
                widths.append(hi - lo)
                if len(tasks) == 1:
                    # The first messages are not to compete with the planning of the others.
                    await asyncio.wait({before})
                lo, width = hi, max(width, RANGE)
    except* NotOursError:
        ours = False
    return sum(task.result() for task in tasks) if ours else None


async def _plan_range(
    ctx: Context, job: _Job, lo: int, hi: int, before: asyncio.Task[int] | None
) -> int:
    try:
        return await _try_range(ctx, job, lo, hi, before)
    except GiveWayError:
        if before is not None:
            await asyncio.wait({before})
        return await _try_range(ctx, job, lo, hi, before)


async def _try_range(
    ctx: Context, job: _Job, lo: int, hi: int, before: asyncio.Task[int] | None
) -> int:
    async with ctx.pool.acquire() as conn:
        async with planned_for_its_values(conn):
            leads = before is None or before.done()
            if leads:
                await _alone(conn, job)
            row = await _fan_out(conn, job, lo=lo, hi=hi, now=ctx.now())
            if before is not None and not leads:
                await its_turn(conn, before)
                await _alone(conn, job)
            dispatch = job.update["dispatch_id"]
            if await conn.fetchval(sql.MOVE_CURSOR_SQL, dispatch, lo, hi) is None:
                raise NotOursError
            await publish(
                conn,
                [Event("slices.waiting", sender, job.priority) for sender in row["senders"] or ()],
            )
            await reach("plan.before_commit")
        await reach("plan.after_range")
    for kind, made in row["made"] or ():
        job.made[kind - 1] += made
    planned: int = row["planned"]
    return planned


async def _alone(conn: Connection, job: _Job) -> None:
    if not await conn.fetchval(sql.ALONE_SQL, job.update["id"]):
        raise NotOursError


async def its_turn(conn: Connection, before: asyncio.Task[int]) -> None:
    """Wait until the range before is committed, unless it waits for us in the database."""
    while not before.done():
        await asyncio.wait({before}, timeout=LOOK_WHETHER_WAITED_FOR_S)
        if not before.done() and await conn.fetchval(sql.WAITED_FOR_SQL):
            raise GiveWayError
    if before.cancelled() or before.exception() is not None:
        raise NotOursError


async def _ways(
    conn: Connection, ctx: Context, update: asyncpg.Record
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
        promised = facts.next_update_by if update["kind"] != "resolved" else None
        if promised is not None and promised > update["decided_at"]:
            expires = min(expires, promised)
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
    conn: Connection, job: _Job, *, lo: int, hi: int, now: datetime
) -> asyncpg.Record:
    update, ways = job.update, job.ways
    row = await one_row(
        conn,
        sql.FAN_OUT_SQL,
        *job.query.params(lo, hi, now, job.suppressed),
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
        job.lane,
        job.large,
        job.made,
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


async def _finish(conn: Connection, ctx: Context, job: _Job) -> None:
    """The end of planning, the public voice, and the banner's wake-up."""
    update, now = job.update, ctx.now()
    if await conn.fetchval(sql.PLANNED_SQL, update["dispatch_id"], now) is None:
        return
    events = [Event("dispatch.planned", update["dispatch_id"], job.priority)]
    way = job.ways[ChannelKind.SOCIAL.code]
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
        job.lane,
        now,
        way["expires_at"],
    )
    if posted == "INSERT 0 1" and way["configured"]:
        events.append(Event("slices.waiting", way["sender_id"], job.priority))
    await conn.execute(sql.BANNER_EVENT_SQL, update["incident_id"], update["id"], now)
    await conn.execute(sql.UPDATE_PLANNED_SQL, update["id"])
    await publish(conn, events)
