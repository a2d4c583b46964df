"""Is the process alive, and is it of use? For load balancers and people with curl; `doctor` asks the same."""

from collections.abc import Mapping
from typing import Final

import asyncpg
from aiohttp import web
from pydantic import BaseModel

from dispatcher.context import Context
from dispatcher.db import APPLIED_SQL, Connection, shipped_migrations
from dispatcher.watch import WORKERS_SQL, Check, Lookout, State, listener, standing, workers
from dispatcher.web.answers import Reply
from dispatcher.web.banner.hub import HUB
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.routing import Plain

LOOKOUT: Final = web.AppKey("lookout", Lookout)
_WAIT_S: Final = 2.0


class Health(BaseModel):
    """`status` is ok, degraded or unavailable; `checks` maps each check to ok or what is wrong with it."""

    status: str
    checks: Mapping[str, str]


async def healthz(_call: Plain) -> Reply:
    """The process answers."""
    return Reply(Health(status=State.OK, checks={}))


async def readyz(call: Plain) -> Reply:
    """It can do its work; else 503 with the reasons.

    Only what makes this address useless is 503: with a queue that is stuck, updates and receipts must
    still be taken in, so that is told and no more.
    """
    found = await _checks(call.ctx, call.request.app)
    states = {check.state for check in found}
    status = next(state for state in reversed(State) if state in states)
    checks = {check.name: "ok" if check.state is State.OK else _sentence(check) for check in found}
    ready = status is not State.UNAVAILABLE
    return Reply(
        Health(status=status, checks=checks),
        200 if ready else 503,
        {} if ready else {"Retry-After": "5"},
    )


def _sentence(check: Check) -> str:
    return f"{check.detail}: {check.mend}" if check.mend else check.detail


async def _checks(ctx: Context, app: web.Application) -> list[Check]:
    within_s = ctx.settings.watch.worker_s
    try:
        async with ctx.pool.acquire(timeout=_WAIT_S) as conn:
            found = [await schema(conn)]
            if found[0].state is not State.UNAVAILABLE:
                found.append(workers(await conn.fetchval(WORKERS_SQL, within_s), within_s))
    except Exception as error:
        if not is_database_trouble(error):
            raise
        detail = f"cannot be reached ({type(error).__name__})"
        return [Check("database", State.UNAVAILABLE, detail)]
    if found[0].state is not State.UNAVAILABLE:
        found += standing(await app[LOOKOUT].facts(), ctx.settings.watch)
    return [Check("database", State.OK, "answers"), *found, *own_checks(app)]


def own_checks(app: web.Application) -> list[Check]:
    """What is about this process alone."""
    return [listener(app[HUB].listening)]


async def schema(conn: Connection) -> Check:
    """Whether the database has the schema this program knows."""
    known = len(shipped_migrations())
    try:
        applied = len(await conn.fetch(APPLIED_SQL))
    except asyncpg.UndefinedTableError:
        applied = 0
    detail = f"{applied} of {known} applied"
    if applied == known:
        return Check("migrations", State.OK, detail)
    if applied > known:
        # Migrations only add: the version before goes on working while it is being replaced.
        return Check("migrations", State.DEGRADED, detail, "start the newer Tidings")
    return Check("migrations", State.UNAVAILABLE, detail, "run tidings migrate")
