"""Heartbeat: a living worker renews the leases of what it has in flight, and says that it lives."""

import os
import platform
import uuid

import structlog

from dispatcher.context import Context
from dispatcher.db import AWAY
from dispatcher.jobs import Links

log = structlog.get_logger(__name__)

RENEW_SQL = """
update slice s set lease_until = clock_timestamp() + make_interval(secs => $3)
from unnest($1::bigint[], $2::int[]) as t(id, epoch)
where s.id = t.id and s.id = any($1::bigint[]) and s.epoch = t.epoch and s.state in (1, 2)
returning s.id
"""
SEEN_SQL = """
insert into worker (id, host, pid, consumers, linked, started_at, seen_at)
values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp())
on conflict (id) do update set seen_at = excluded.seen_at, consumers = excluded.consumers,
                               linked = excluded.linked
"""
GONE_SQL = "delete from worker where id = $1"


async def beat(ctx: Context, worker: uuid.UUID, links: Links) -> None:
    """Renew the leases of the slices this process holds, and its own row; say how its consumers are."""
    leases = dict(ctx.leases)
    asked, span = ctx.clock.monotonic(), ctx.settings.worker.lease_s
    async with ctx.pool.acquire() as conn:
        if leases:
            epochs = [lease.epoch for lease in leases.values()]
            for row in await conn.fetch(RENEW_SQL, list(leases), epochs, span):
                leases[row["id"]].until = asked + span
        linked = links.consumers - len(links.lost)
        here = (platform.node(), os.getpid(), links.consumers, linked)
        await conn.execute(SEEN_SQL, worker, *here)


async def leave(ctx: Context, worker: uuid.UUID) -> None:
    """Take this worker off the list: it stops on purpose. Without a database it is taken for dead."""
    try:
        await ctx.pool.execute(GONE_SQL, worker)
    except AWAY as error:
        log.warning("stopped_unseen", error=type(error).__name__)
