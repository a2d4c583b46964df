"""The tick of the webhooks: what is due to an endpoint, and dispatches whose failures are to be looked for."""

from dispatcher.announce import wake
from dispatcher.context import Context
from dispatcher.jobs import Event, publish

ENDPOINTS_SQL = """
select p.id from webhook_endpoint p
where p.disabled_at is null and exists (
    select from webhook_delivery d
    where d.endpoint_id = p.id and (d.state = 'waiting' and d.due_at <= $1
                                    or d.state = 'sending' and d.lease_until < clock_timestamp()))
"""
DISPATCHES_SQL = """
select dispatch_id from failure_watch where due_at <= $1 order by due_at limit 20
"""


async def wake_webhooks(ctx: Context) -> None:
    """One turn; two looks at small tables where there is nothing to do."""
    now = ctx.now()
    async with ctx.pool.acquire() as conn:
        await wake(conn, [row["id"] for row in await conn.fetch(ENDPOINTS_SQL, now)])
        watched = await conn.fetch(DISPATCHES_SQL, now)
        await publish(conn, [Event("failures.due", row["dispatch_id"], 1) for row in watched])
