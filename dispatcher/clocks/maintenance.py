"""Maintenance: partitions ahead of time, what is old away, the queue's log short."""

from datetime import timedelta

from dispatcher.clocks.forgetting import forget_canaries, forget_visits
from dispatcher.context import Context
from dispatcher.db import in_transaction
from dispatcher.intake.events import trim_events
from dispatcher.intake.troubles import forget_troubles
from dispatcher.jobs import trim
from dispatcher.stages import report, webhooks

KEEP_KEYS = timedelta(hours=72)

PARTITIONS_SQL = """
select ensure_delivery_partition($1), ensure_delivery_partition($1 + interval '1 month'),
       ensure_receipt_partition(($1::timestamptz at time zone 'UTC')::date),
       ensure_receipt_partition(($1::timestamptz at time zone 'UTC')::date + 1)
"""
OLD_KEYS_SQL = "delete from idempotency where created_at < $1"
GONE_WORKERS_SQL = "delete from worker where seen_at < clock_timestamp() - interval '1 day'"


async def maintain(ctx: Context) -> None:
    """One turn; cheap when there is nothing to do."""
    now = ctx.now()
    async with ctx.pool.acquire() as conn:
        await conn.execute(PARTITIONS_SQL, now)
        await conn.execute(OLD_KEYS_SQL, now - KEEP_KEYS)
        await conn.execute(GONE_WORKERS_SQL)
        await report.remove_expired(conn, now=now)
        await trim_events(conn, now=now)
        await forget_visits(conn, now=now)
        await forget_troubles(conn, now=now)
        await webhooks.trim_log(conn, now=now)
        await trim(conn)
    await in_transaction(ctx.pool, forget_canaries, rng=ctx.rng)
