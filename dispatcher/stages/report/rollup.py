"""The report's job: the document of a dispatch, the counts of its accounts, and the end of the dispatch."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from dispatcher.announce import dispatch_ended
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.rules.policy import Policy
from dispatcher.rules.states import SliceState
from dispatcher.stages.report.accounts import STORE_SQL, UNLIKE_SQL
from dispatcher.stages.report.count import counted
from dispatcher.stages.report.document import VERSION
from dispatcher.stages.report.gather import LONG_S, gathered
from dispatcher.stages.report.header import first_notice, read_header

SHARE: Final = 20
"""Counting may take one part in so many of one worker's time."""
_LOCK_CLASS: Final = 7202604

# The dispatch row itself is not locked meanwhile: every intent to send wants it. The lock is the
# update's, since the waves of one update share their account counts: the older must not win.
CLAIM_SQL: Final = """
select pg_try_advisory_xact_lock($2, hashint8(update_id)) from dispatch where id = $1 and state <> 'planning'
"""
WAIT_SQL: Final = """
select pg_advisory_xact_lock($2, hashint8(update_id)) from dispatch where id = $1
"""
# Changes with every counter, state and merge of receipts, and is cheap: slices are few.
MARK_SQL: Final = """
select coalesce(sum(hash_record_extended(row(id, state, n_by_status, n_merges), 0)), 0)
from slice where dispatch_id = $1
"""
# took_s is work done, not business time, so it is the database's clock that measures it.
KEEP_SQL: Final = """
insert into dispatch_report as r (dispatch_id, looked_at, made_at, took_s, of_mark, deadline, document)
values ($1, $2, $2, extract(epoch from clock_timestamp() - $3::timestamptz), $4, $5, $6)
on conflict (dispatch_id) do update
    set looked_at = excluded.looked_at, made_at = excluded.made_at, took_s = excluded.took_s,
        of_mark = excluded.of_mark, deadline = excluded.deadline, document = excluded.document
"""
LOOKED_SQL: Final = """
insert into dispatch_report (dispatch_id, looked_at) values ($1, $2)
on conflict (dispatch_id) do update set looked_at = excluded.looked_at
"""
UNFINISHED_SQL: Final = f"""
select exists (select from slice where dispatch_id = $1 and state <> {SliceState.DONE:d})
"""
COMPLETE_SQL: Final = f"""
update dispatch set state = 'completed', completed_at = $2
where id = $1 and state = 'sending' and not exists (
    select from slice s where s.dispatch_id = $1 and s.state <> {SliceState.DONE:d})
returning id
"""
# To look is to compare marks: every 3 s at first, up to a minute as a dispatch grows old, or is paused.
# Receipts come for days: one that has ended is looked at less and less often, at twentieths of the time
# since its end.
DUE_SQL: Final = """
select d.id from dispatch d left join dispatch_report r on r.dispatch_id = d.id
where d.state <> 'planning'
  -- Nobody reads the report of a canary.
  and not (d.state = 'completed' and exists (select from canary_update k where k.update_id = d.update_id))
  and (r.looked_at is null
    or d.completed_at is null and r.looked_at <= $1::timestamptz - greatest(interval '3 seconds', least(
           interval '1 minute',
           case when d.paused_at is not null then interval '1 minute'
                else ($1::timestamptz - coalesce(d.planned_at, d.created_at)) / 60 end))
    or d.completed_at > $1::timestamptz - interval '30 days' and r.looked_at <=
           $1::timestamptz - greatest(interval '3 seconds', ($1::timestamptz - d.completed_at) / 20))
order by r.looked_at nulls first, d.id limit 200
"""
CLOCK_SQL: Final = "select clock_timestamp()"


async def due(conn: Connection, *, now: datetime) -> list[int]:
    """Dispatches to be looked at again, up to 200, whoever has waited longest first.

    To look costs little; whether it leads to counting is for `roll_up` to decide.
    """
    return [row["id"] for row in await conn.fetch(DUE_SQL, now)]


async def mark(conn: Connection, dispatch_id: int) -> Decimal:
    """What the slices of a dispatch look like now, as one number to compare with `of_mark`."""
    found: Decimal = await conn.fetchval(MARK_SQL, dispatch_id)
    return found


async def unlike(conn: Connection, update_id: int, *, stale: bool) -> list[int]:
    """Accounts whose counts of one update differ from a recount; if `stale`, after counting anew."""
    async with gathered(conn, update_id):
        if stale:
            await conn.execute(STORE_SQL, update_id)
        return [row["account_id"] for row in await conn.fetch(UNLIKE_SQL, update_id)]


async def run(ctx: Context, dispatch_id: int) -> None:
    """Roll one dispatch up. Does nothing while it is being planned, or while another worker does it."""
    now = ctx.now()
    await in_transaction(
        ctx.pool, lambda conn: roll_up(conn, dispatch_id, policy=ctx.policy, now=now), rng=ctx.rng
    )


async def roll_up(conn: Connection, dispatch_id: int, *, policy: Policy, now: datetime) -> bool:
    """Count if anything has changed and it is time to; True when this turn completed the dispatch.

    Idempotent. The caller owns the transaction.
    """
    if not await conn.fetchval(CLAIM_SQL, dispatch_id, _LOCK_CLASS):
        return False
    header = await read_header(conn, dispatch_id)
    if header is None:
        return False
    over = not await conn.fetchval(UNFINISHED_SQL, dispatch_id)
    ends = over and header["state"] == "sending"
    if is_affordable(header["made_at"], header["took_s"], now=now) or ends:
        await _count_if_behind(conn, header, policy=policy, now=now)
    await conn.execute(LOOKED_SQL, dispatch_id, now)
    if await conn.fetchval(COMPLETE_SQL, dispatch_id, now) is None:
        return False
    await dispatch_ended(conn, dispatch_id, now=now)
    return True


async def count_now(conn: Connection, dispatch_id: int, *, policy: Policy, now: datetime) -> None:
    """Count whatever it costs, unless nothing has changed; waits for a worker that is at it.

    Not while the dispatch is being planned. For small dispatches, which somebody wants to see.
    """
    async with conn.transaction():
        await conn.execute(WAIT_SQL, dispatch_id, _LOCK_CLASS)
        header = await read_header(conn, dispatch_id)
        if header is not None and header["state"] != "planning":
            await _count_if_behind(conn, header, policy=policy, now=now)


def is_affordable(made_at: datetime | None, took_s: float | None, *, now: datetime) -> bool:
    """Whether counting again keeps to its share of a worker's time."""
    return made_at is None or now - made_at >= SHARE * timedelta(seconds=took_s or 0)


def is_behind(header: asyncpg.Record, current: Decimal, deadline: datetime | None) -> bool:
    """Whether what is kept was counted of other slices, or judged by another promise."""
    stored = header["document"]
    fits = stored is not None and stored.get("version") == VERSION
    return not fits or header["of_mark"] != current or header["deadline"] != deadline


async def _count_if_behind(
    conn: Connection, header: asyncpg.Record, *, policy: Policy, now: datetime
) -> None:
    dispatch_id, deadline = header["id"], first_notice(header, policy)
    # Read before the deliveries: what changes in between is then rolled up once more, not never.
    current = await mark(conn, dispatch_id)
    if not is_behind(header, current, deadline):
        return
    began = await conn.fetchval(CLOCK_SQL)
    async with gathered(conn, header["update_id"]) as cells:
        # A draft counts from its release, a later wave from its own decision.
        document = await counted(
            conn, dispatch_id, cells, start=header["created_at"], deadline=deadline
        )
        await conn.execute(STORE_SQL, header["update_id"], timeout=LONG_S)
    stored = document.model_dump(mode="json")
    await reach("report.before_store")
    await conn.execute(KEEP_SQL, dispatch_id, now, began, current, deadline, stored)
