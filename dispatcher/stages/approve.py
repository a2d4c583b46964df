"""Approve: release is a decision of policy or of a person; posting in mode `auto` is one."""

from dispatcher.announce import update_published
from dispatcher.context import Context
from dispatcher.jobs import Event, publish

PUBLISHES = ("update.approved",)

APPROVE_SQL = """
update incident_update set state = 'approved' where id = $1 and state = 'composed' returning severity
"""


async def run(ctx: Context, update_id: int) -> None:
    """Let a composed update go; drafts were released by a person before they were composed."""
    async with ctx.pool.acquire() as conn, conn.transaction():
        severity = await conn.fetchval(APPROVE_SQL, update_id)
        if severity is not None:
            await publish(conn, [Event("update.approved", update_id, priority=10 - severity)])
            await update_published(conn, update_id, now=ctx.now())
