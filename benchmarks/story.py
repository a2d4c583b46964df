"""Updates as a bench posts them, and the stages run by hand where a bench measures one of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from benchmarks.stand import Case, now
from dispatcher.db import Connection, in_transaction
from dispatcher.pipeline import take_in
from dispatcher.rules.states import SliceState
from dispatcher.stages import approve, compose, plan
from dispatcher.stages.accept import AcceptedUpdate, UpdateIn
from dispatcher.stages.control import pause, resume

SENT_SQL = f"""
select not exists (select from slice where dispatch_id = $1 and state <> {SliceState.DONE:d})
   and exists (select from dispatch where id = $1 and state <> 'planning')
"""
PLANNED_SQL = "select state <> 'planning' from dispatch where id = $1"
SPAN_SQL = """
select sum(n)::int as planned, sum(n) filter (where intent_at is not null)::int as n,
       min(intent_at) as first_at, max(ended_at) filter (where intent_at is not null) as last_at
from slice where dispatch_id = $1
"""


def body(
    number: int,
    *,
    component: str = "all",
    severity: str = "P1",
    title: str = "",
    segments: Sequence[str] = ("enterprise", "smb", "internal"),
) -> dict[str, Any]:
    """An update of incident `number`, as it is posted to the API."""
    return {
        "source": "benchmark",
        "incident": {
            "external_id": f"INC-{number}",
            "severity": severity,
            "visibility": "customers",
            "component_ids": [component],
        },
        "status": "investigating",
        "audience": {"segments": list(segments)},
        "facts": {
            "title": title or "Some customers cannot check out",
            "impact": "About one in five card payments fails at checkout.",
            "scope": {"who": "Customers who pay by card", "regions": [], "features": ["Payments"]},
            "what_we_do": "We are looking into it together with our payment team.",
            "next_update_by": (now() + timedelta(hours=2)).isoformat(),
        },
    }


async def accept(case: Case, number: int, **more: Any) -> AcceptedUpdate:
    """Take one update in, as the web does; workers that run take it from here."""
    update = UpdateIn.model_validate(body(number, **more))
    return await in_transaction(
        case.ctx.pool,
        lambda conn: take_in(conn, case.ctx, update, actor="benchmark", now=case.ctx.now()),
        rng=case.ctx.rng,
    )


async def accept_paused(case: Case, number: int, **more: Any) -> AcceptedUpdate:
    """Accepted and paused at once: workers plan it, and nothing leaves before `go`."""
    update = UpdateIn.model_validate(body(number, **more))

    async def work(conn: Connection) -> AcceptedUpdate:
        at = case.ctx.now()
        accepted = await take_in(conn, case.ctx, update, actor="benchmark", now=at)
        assert accepted.dispatch_id is not None
        await pause(conn, accepted.dispatch_id, now=at)
        return accepted

    return await in_transaction(case.ctx.pool, work, rng=case.ctx.rng)


async def until_planned(case: Case, accepted: AcceptedUpdate) -> None:
    """Return when the fan-out is complete."""
    await case.until(PLANNED_SQL, accepted.dispatch_id, what="planning")


async def word(case: Case, number: int, **more: Any) -> AcceptedUpdate:
    """Accepted and approved, ready for the fan-out; in this process."""
    accepted = await accept(case, number, **more)
    await compose.run(case.ctx, accepted.update_id)
    await approve.run(case.ctx, accepted.update_id)
    return accepted


async def plan_paused(case: Case, number: int, **more: Any) -> AcceptedUpdate:
    """Planned in this process, and paused, so that nothing leaves before `go`."""
    accepted = await word(case, number, **more)
    dispatch = accepted.dispatch_id
    assert dispatch is not None
    await plan.run(case.ctx, accepted.update_id)
    async with case.ctx.pool.acquire() as conn, conn.transaction():
        await pause(conn, dispatch, now=case.ctx.now())
        # What the stages published meanwhile would only be looked at and dropped.
        await conn.execute("delete from pgqueuer")
    await case.conn.execute("checkpoint")
    return accepted


async def go(case: Case, accepted: AcceptedUpdate) -> None:
    """Let a paused dispatch leave."""
    dispatch = accepted.dispatch_id
    assert dispatch is not None
    async with case.ctx.pool.acquire() as conn, conn.transaction():
        await resume(conn, dispatch)


async def until_sent(case: Case, accepted: AcceptedUpdate, *, within_s: float = 300.0) -> None:
    """Return when every slice of the dispatch has ended."""
    await case.until(SENT_SQL, accepted.dispatch_id, what="sending", within_s=within_s)
