"""Is the process alive, and is it of use? For load balancers and people with curl; `doctor` asks the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncpg
from pydantic import BaseModel

from dispatcher.db import APPLIED_SQL, Connection, shipped_migrations
from dispatcher.web.answers import Reply
from dispatcher.web.banner.hub import HUB
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.facts import LOOKOUT, WORKER_SILENCE_S, WORKERS_SQL, Facts
from dispatcher.web.routing import Plain

QUEUE_AGE_S: Final = 900.0
PLANNING_AGE_S: Final = 60.0
RECEIPT_AGE_S: Final = 300.0
_WAIT_S: Final = 2.0


class State(StrEnum):
    """How one thing stands. Degraded: it must be seen to, but who asks is served all the same."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `mend` is empty where nothing needs to be done."""

    name: str
    state: State
    detail: str
    mend: str = ""


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
    found = await _checks(call)
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


async def _checks(call: Plain) -> list[Check]:
    ctx = call.ctx
    try:
        async with ctx.pool.acquire(timeout=_WAIT_S) as conn:
            found = [await schema(conn)]
            if found[0].state is not State.UNAVAILABLE:
                found.append(workers(await conn.fetchval(WORKERS_SQL, WORKER_SILENCE_S)))
    except Exception as error:
        if not is_database_trouble(error):
            raise
        detail = f"cannot be reached ({type(error).__name__})"
        return [Check("database", State.UNAVAILABLE, detail)]
    if found[0].state is not State.UNAVAILABLE:
        found += backlog(await call.request.app[LOOKOUT].facts())
    heard = listener(call.request.app[HUB].listening)
    return [Check("database", State.OK, "answers"), *found, heard]


def listener(heard: bool) -> Check:  # noqa: FBT001 - the one thing it judges
    """Whether notifications of the database arrive; without them banners and jobs come late."""
    if heard:
        return Check("listener", State.OK, "notifications arrive")
    mend = "behind a pooler set TIDINGS_DATABASE__DIRECT_URL"
    return Check("listener", State.DEGRADED, "notifications do not arrive", mend)


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


def workers(seen: int) -> Check:
    """Whether anybody does the work."""
    lately = f"{WORKER_SILENCE_S:.0f} s"
    if seen:
        return Check("workers", State.OK, f"{seen} seen in the last {lately}")
    return Check("workers", State.UNAVAILABLE, f"none seen for {lately}", "run tidings worker")


def backlog(facts: Facts | None) -> list[Check]:
    """What waits for too long, each a reason to look and none to refuse anybody."""
    if facts is None:
        return [Check("queue", State.DEGRADED, "the database did not say what waits")]
    found = [
        _age(
            "queue",
            facts.oldest_s,
            QUEUE_AGE_S,
            "what is due has waited",
            "see tidings channels for limits and pauses, or start more workers",
        ),
        _age(
            "planning",
            facts.planning_s,
            PLANNING_AGE_S,
            "an update has waited to be planned",
            "see the log of the workers",
        ),
        _age(
            "receipts",
            facts.unread_s,
            RECEIPT_AGE_S,
            "callbacks have waited to be applied",
            "start more workers",
        ),
    ]
    if facts.stuck:
        mend = "see the log for receipts_not_applied; they are kept, not lost"
        detail = f"{facts.stuck} callbacks cannot be applied"
        found.append(Check("stuck receipts", State.DEGRADED, detail, mend))
    return found


def _age(name: str, seconds: float, limit: float, what: str, mend: str) -> Check:
    if seconds <= limit:
        return Check(name, State.OK, f"{what} {seconds:.0f} s at most")
    return Check(name, State.DEGRADED, f"{what} {seconds:.0f} s", mend)
