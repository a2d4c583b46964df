"""The report's job: the curve on the dispatch, the counts per account, and the end of the dispatch."""

from datetime import datetime
from typing import Final

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.states import STATUS_COUNT, SliceState
from dispatcher.stages.report.curve import curve
from dispatcher.stages.report.gather import gathered

PUBLISHES: tuple[str, ...] = ()

_LOCK_CLASS: Final = 7202603

# The dispatch row itself is not locked meanwhile: every intent to send wants it.
CLAIM_SQL: Final = """
select u.at, d.update_id from dispatch d join incident_update u on u.id = d.update_id
where d.id = $1 and d.state <> 'planning' and pg_try_advisory_xact_lock($2, ($1 % 2147483647)::int)
"""
ACCOUNTS_SQL: Final = f"""
with counted as (
    select account_id, shown, count(*)::int as n from report_row where account_id <> 0 group by 1, 2
), told as (
    select account_id, min(told_at) as at from report_row where account_id <> 0 group by 1
), filled as (
    select t.account_id, t.at,
           (select array_agg(coalesce(c.n, 0) order by s.i)
            from generate_series(0, {STATUS_COUNT - 1}) as s(i)
            left join counted c on c.account_id = t.account_id and c.shown = s.i) as counts
    from told t
)
insert into account_update as u (account_id, update_id, n, n_by_status, first_told_at)
select account_id, $1, (select sum(x) from unnest(counts) as x), counts, at
from filled order by account_id
on conflict (account_id, update_id) do update
    set n = excluded.n, n_by_status = excluded.n_by_status, first_told_at = excluded.first_told_at
where (u.n, u.n_by_status, u.first_told_at) is distinct from
      (excluded.n, excluded.n_by_status, excluded.first_told_at)
"""
CURVE_SQL: Final = "update dispatch set curve = $2, curve_at = $3 where id = $1"
COMPLETE_SQL: Final = f"""
update dispatch set state = 'completed', completed_at = $2
where id = $1 and state = 'sending' and not exists (
    select from slice s where s.dispatch_id = $1
    and s.state in ({SliceState.WAITING:d}, {SliceState.RELEASED:d}, {SliceState.IN_FLIGHT:d},
                    {SliceState.AMBIGUOUS:d}))
returning id
"""
# Receipts come for days; a dispatch that has ended is looked at less often as time goes by.
DUE_SQL: Final = """
select id from dispatch
where state = 'sending'
   or state <> 'planning' and completed_at > $1::timestamptz - interval '15 minutes'
   or state <> 'planning' and completed_at > $1::timestamptz - interval '3 days'
      and (curve_at is null or curve_at < $1::timestamptz - interval '10 minutes')
order by id limit 200
"""


async def due(conn: Connection, *, now: datetime) -> list[int]:
    """Dispatches whose roll-up is worth repeating: unfinished ones, and those that still get receipts."""
    return [row["id"] for row in await conn.fetch(DUE_SQL, now)]


async def run(ctx: Context, dispatch_id: int) -> None:
    """Roll one dispatch up. Does nothing while it is being planned, or while another worker does it."""
    now = ctx.now()
    await in_transaction(ctx.pool, lambda conn: roll_up(conn, dispatch_id, now=now), rng=ctx.rng)


async def roll_up(conn: Connection, dispatch_id: int, *, now: datetime) -> bool:
    """Store curve and account counts; True when this turn found the dispatch completed.

    Idempotent. The caller owns the transaction.
    """
    dispatch = await conn.fetchrow(CLAIM_SQL, dispatch_id, _LOCK_CLASS)
    if dispatch is None:
        return False
    async with gathered(conn, dispatch["update_id"]):
        await conn.execute(ACCOUNTS_SQL, dispatch["update_id"])
        points = await curve(conn, dispatch_id, start=dispatch["at"])
    await conn.execute(CURVE_SQL, dispatch_id, points.model_dump(mode="json"), now)
    return await conn.fetchval(COMPLETE_SQL, dispatch_id, now) is not None
