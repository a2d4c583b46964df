"""Is the process alive, and is it of use? For load balancers and people with curl."""

from typing import Final

import asyncpg
from pydantic import BaseModel

from dispatcher.context import Context
from dispatcher.db import APPLIED_SQL, shipped_migrations
from dispatcher.web.answers import Reply
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.routing import Plain

WORKER_SILENCE_S: Final = 30.0
_WAIT_S: Final = 2.0

# Heartbeats, like leases, are told by the database's clock.
WORKERS_SQL = """
select count(*) from worker where seen_at > clock_timestamp() - make_interval(secs => $1)
"""


class Health(BaseModel):
    """`status` is ok or unavailable; `checks` maps each check to ok or the reason it failed."""

    status: str
    checks: dict[str, str]


async def healthz(_call: Plain) -> Reply:
    """The process answers."""
    return Reply(Health(status="ok", checks={}))


async def readyz(call: Plain) -> Reply:
    """It can do its work: database there, schema current, a worker seen lately; else 503."""
    checks = await _checks(call.ctx)
    ready = all(reason == "ok" for reason in checks.values())
    health = Health(status="ok" if ready else "unavailable", checks=checks)
    return Reply(health, 200 if ready else 503, {} if ready else {"Retry-After": "5"})


async def _checks(ctx: Context) -> dict[str, str]:
    try:
        async with ctx.pool.acquire(timeout=_WAIT_S) as conn:
            applied = len(await conn.fetch(APPLIED_SQL))
            workers = await conn.fetchval(WORKERS_SQL, WORKER_SILENCE_S)
    except asyncpg.UndefinedTableError:
        return {"database": "ok", "migrations": "none applied: run tidings migrate"}
    except Exception as error:
        if not is_database_trouble(error):
            raise
        return {"database": f"cannot be reached ({type(error).__name__})"}
    known = len(shipped_migrations())
    return {
        "database": "ok",
        "migrations": "ok"
        if applied == known
        else f"{applied} of {known} applied: run tidings migrate",
        "workers": "ok"
        if workers
        else f"none seen for {WORKER_SILENCE_S:.0f} s: run tidings worker",
    }
