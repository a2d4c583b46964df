"""The tick of the webhooks: what is due to an endpoint, and dispatches whose failures are to be looked for."""

from typing import Final

from dispatcher.context import Context
from dispatcher.jobs import Event, publish

SPARED_AT_ONCE: Final = 8
"""Endpoints under strain that are sent something at once, however many workers there are."""
_PRIORITY: Final = 3

# Who answers well has a turn as soon as anything is due; those under strain share a few, who waited
# longest first. A message that is being sent was due when it was claimed: one range of one index.
ENDPOINTS_SQL = """
with ready as (
    select p.id, s.tried_at,
           exists (select from webhook_delivery d where d.endpoint_id = p.id and d.state = 'sending'
                   and d.lease_until >= clock_timestamp()) as is_busy
    from webhook_endpoint p left join webhook_strain s on s.endpoint_id = p.id
    where p.disabled_at is null and (s.not_before is null or s.not_before <= $1) and exists (
        select from webhook_delivery d
        where d.endpoint_id = p.id and d.state in ('waiting', 'sending') and d.due_at <= $1
          and (d.state = 'waiting' or d.lease_until < clock_timestamp()))
), spared as (
    select id from ready where tried_at is not null and not is_busy order by tried_at, id
    limit greatest(0, $2 - (
        select count(*) from webhook_strain s where exists (
            select from webhook_delivery d where d.endpoint_id = s.endpoint_id and d.state = 'sending'
                                             and d.lease_until >= clock_timestamp())))
)
select id from ready where tried_at is null union all select id from spared
"""
DISPATCHES_SQL = """
select dispatch_id from failure_watch where due_at <= $1 order by due_at limit 20
"""


async def wake_webhooks(ctx: Context) -> None:
    """One turn; two looks at small tables where there is nothing to do."""
    now = ctx.now()
    async with ctx.pool.acquire() as conn:
        due = await conn.fetch(ENDPOINTS_SQL, now, SPARED_AT_ONCE)
        watched = await conn.fetch(DISPATCHES_SQL, now)
        events = [Event("webhook.due", row["id"], _PRIORITY) for row in due]
        await publish(
            conn, events + [Event("failures.due", row["dispatch_id"], 1) for row in watched]
        )
