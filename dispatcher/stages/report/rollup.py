"""The report's job: the curve on the dispatch, the counts per account, and the end of the dispatch."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.states import Shown, SliceState
from dispatcher.stages.report.curve import curve
from dispatcher.stages.report.gather import gathered

PUBLISHES: tuple[str, ...] = ()

_LOCK_CLASS: Final = 7202604

# The dispatch row itself is not locked meanwhile: every intent to send wants it. The lock is the
# update's, since the waves of one update share their account counts: the older must not win.
CLAIM_SQL: Final = """
select update_id, created_at, curve_of from dispatch
where id = $1 and state <> 'planning' and pg_try_advisory_xact_lock($2, hashint8(update_id))
"""
# Changes with every counter, state and merge of receipts, and is cheap: slices are few.
MARK_SQL: Final = """
select coalesce(sum(hash_record_extended(row(id, state, n_by_status, n_merges), 0)), 0)
from slice where dispatch_id = $1
"""
_COUNTS: Final = ", ".join(f"count(*) filter (where shown = {status:d})" for status in Shown)
_COUNTED: Final = f"""
counted as (
    select account_id, count(*)::int as n, array[{_COUNTS}]::int[] as counts, min(told_at) as at
    from report_row where account_id <> 0 group by account_id
)
"""
ACCOUNTS_SQL: Final = f"""
with {_COUNTED}
insert into account_update as u (account_id, update_id, n, n_by_status, first_told_at)
select account_id, $1, n, counts, at from counted order by account_id
on conflict (account_id, update_id) do update
    set n = excluded.n, n_by_status = excluded.n_by_status, first_told_at = excluded.first_told_at
where (u.n, u.n_by_status, u.first_told_at) is distinct from
      (excluded.n, excluded.n_by_status, excluded.first_told_at)
"""
UNLIKE_SQL: Final = f"""
with {_COUNTED}, kept as (select * from account_update where update_id = $1)
select account_id from counted c full join kept k using (account_id)
where (c.n, c.counts, c.at) is distinct from (k.n, k.n_by_status, k.first_told_at)
order by account_id
"""
LOOKED_SQL: Final = "update dispatch set curve_at = $2 where id = $1"
CURVE_SQL: Final = "update dispatch set curve = $2, curve_of = $3 where id = $1"
COMPLETE_SQL: Final = f"""
update dispatch set state = 'completed', completed_at = $2
where id = $1 and state = 'sending' and not exists (
    select from slice s where s.dispatch_id = $1 and s.state <> {SliceState.DONE:d})
returning id
"""
# Every 3 s at first; up to a minute as a dispatch grows old or large, or is paused. Receipts come for
# days: one that has ended is looked at less and less often, at twentieths of the time since its end.
DUE_SQL: Final = """
select id from dispatch
where state <> 'planning' and (
    curve_at is null
    or completed_at is null and curve_at <= $1::timestamptz - greatest(interval '3 seconds', least(
           interval '1 minute',
           case when paused_at is not null then interval '1 minute'
                else greatest(($1::timestamptz - coalesce(planned_at, created_at)) / 60,
                              (curve->>'people')::int / 50000 * interval '1 second') end))
    or completed_at > $1::timestamptz - interval '30 days' and curve_at <=
           $1::timestamptz - greatest(interval '3 seconds', ($1::timestamptz - completed_at) / 20))
order by curve_at nulls first, id limit 200
"""


async def due(conn: Connection, *, now: datetime) -> list[int]:
    """Dispatches to be looked at again, up to 200, whoever has waited longest first.

    To look costs little where nothing has changed since; see `roll_up`.
    """
    return [row["id"] for row in await conn.fetch(DUE_SQL, now)]


async def mark(conn: Connection, dispatch_id: int) -> Decimal:
    """What the slices of a dispatch look like now, as one number to compare with `curve_of`."""
    found: Decimal = await conn.fetchval(MARK_SQL, dispatch_id)
    return found


async def unlike(conn: Connection, update_id: int, *, stale: bool) -> list[int]:
    """Accounts whose counts of one update differ from a recount; if `stale`, after counting anew."""
    async with gathered(conn, update_id):
        if stale:
            await conn.execute(ACCOUNTS_SQL, update_id)
        return [row["account_id"] for row in await conn.fetch(UNLIKE_SQL, update_id)]


async def run(ctx: Context, dispatch_id: int) -> None:
    """Roll one dispatch up. Does nothing while it is being planned, or while another worker does it."""
    now = ctx.now()
    await in_transaction(ctx.pool, lambda conn: roll_up(conn, dispatch_id, now=now), rng=ctx.rng)


async def roll_up(conn: Connection, dispatch_id: int, *, now: datetime) -> bool:
    """Store curve and account counts if anything has changed; True when this turn completed the dispatch.

    Idempotent. The caller owns the transaction.
    """
    dispatch = await conn.fetchrow(CLAIM_SQL, dispatch_id, _LOCK_CLASS)
    if dispatch is None:
        return False
    # Read before the deliveries: what changes in between is then rolled up once more, not never.
    current = await mark(conn, dispatch_id)
    if current != dispatch["curve_of"]:
        async with gathered(conn, dispatch["update_id"]):
            await conn.execute(ACCOUNTS_SQL, dispatch["update_id"])
            points = await curve(conn, dispatch_id, start=dispatch["created_at"])
        await conn.execute(CURVE_SQL, dispatch_id, points.model_dump(mode="json"), current)
    await conn.execute(LOOKED_SQL, dispatch_id, now)
    return await conn.fetchval(COMPLETE_SQL, dispatch_id, now) is not None
