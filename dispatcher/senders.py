"""Sender rows follow settings and policy: one identity per channel, its limits, whether it can send."""

from datetime import datetime

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import Connection

PROVIDERS = {ChannelKind.EMAIL: "sendgrid", ChannelKind.SMS: "twilio", ChannelKind.SOCIAL: "x"}

INTRODUCE_SQL = """
insert into sender (channel, provider, identity, configured, limits, updated_at)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing
"""
UPSERT_SQL = """
insert into sender as s (channel, provider, identity, configured, limits, updated_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (channel, provider, identity) do update
    set configured = excluded.configured, limits = excluded.limits, updated_at = excluded.updated_at
where s.configured <> excluded.configured or s.limits <> excluded.limits
"""
BUCKET_SQL = """
insert into bucket (sender_id, seconds)
select id, $4 from sender where channel = $1 and provider = $2 and identity = $3
on conflict do nothing
"""


async def sync_senders(
    conn: Connection, ctx: Context, *, now: datetime, decide: bool = False
) -> None:
    """Make the sender rows exist; with `decide`, also set what they can do and their limits.

    Workers decide, since they send. Any other process may lack the credentials, and its view must
    not stop a channel. Idempotent; any number of processes may do it at once.
    """
    async with conn.transaction():
        for kind, provider in PROVIDERS.items():
            identity = ctx.settings.sender(kind)
            limits = [
                {"count": limit.count, "seconds": int(limit.per.total_seconds())}
                for limit in ctx.policy.sender[kind].limits
            ]
            statement = UPSERT_SQL if decide else INTRODUCE_SQL
            able = kind in ctx.channels
            await conn.execute(statement, kind.code, provider, identity, able, limits, now)
            for limit in limits:
                await conn.execute(BUCKET_SQL, kind.code, provider, identity, limit["seconds"])
