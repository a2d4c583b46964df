"""Dispatches: how they stand, and the decisions a person takes about them."""

from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg

from dispatcher.audit import note
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.own import OWN_ACCOUNT, OWN_ENDPOINT, told_own
from dispatcher.rules.problem import not_found
from dispatcher.stages import control
from dispatcher.stages.report.kinds import KIND, kind
from dispatcher.web.answers import Reply
from dispatcher.web.ids import DISPATCH, INCIDENT, UPDATE, number_of
from dispatcher.web.keys import require_approval
from dispatcher.web.models import Dispatch, DispatchControlled
from dispatcher.web.routing import POOL_WAIT_S, Plain

DISPATCH_SQL = """
select update_id, incident_id, wave, state, paused_at, created_at, planned_at, completed_at,
       (select i.external_id from incident i where i.id = dispatch.incident_id) as external_id
from dispatch where id = $1
"""
OWN_DISPATCH_SQL = f"{DISPATCH_SQL} and {told_own('dispatch.update_id')}"
# No index of deliveries begins with the account: the endpoints of own accounts lead to them by key.
OWN_COUNTS_SQL = f"""
select {KIND} as kind, count(*) as n
from delivery d
join slice s on s.id = d.slice_id
where d.update_id = $1 and s.dispatch_id = $2 and d.channel = any('{{1,2,3,4}}'::smallint[])
  and d.endpoint_id {OWN_ENDPOINT} and d.account_id {OWN_ACCOUNT}
group by 1
"""


async def get_dispatch(call: Plain) -> Reply:
    """Its state and how many deliveries have which status."""
    number = number_of(call.ctx, DISPATCH, call.path("dispatch_id"))
    async with call.connection() as conn:
        row = await find_dispatch(conn, number, own=call.caller.limited)
        deliveries = (
            await _own_counts(conn, row["update_id"], number)
            if call.caller.limited
            else await control.counts(conn, number)
        )
    public = call.ctx.signer.public_id
    view = Dispatch(
        id=public(DISPATCH, number),
        update_id=public(UPDATE, row["update_id"]),
        incident_id=public(INCIDENT, row["incident_id"]),
        external_id=row["external_id"],
        wave=row["wave"],
        state=row["state"],
        paused=row["paused_at"] is not None,
        deliveries=deliveries,
        created_at=row["created_at"],
        planned_at=row["planned_at"],
        completed_at=row["completed_at"],
    )
    return Reply(view)


async def cancel(call: Plain) -> Reply:
    """Withdraw what has not left. A person needs `approvals:write` for it.

    Needs no If-Match: withdrawn is withdrawn, whoever said so first. Once it has ended, 409.
    """
    ctx = call.ctx
    return await _decide(
        call, "cancel", lambda conn, number: control.cancel(conn, number, now=ctx.now())
    )


async def pause(call: Plain) -> Reply:
    """Hold what has not left. A person needs `approvals:write` for it.

    Needs no If-Match: what is held already stays so.
    """
    ctx = call.ctx
    return await _decide(
        call, "pause", lambda conn, number: control.pause(conn, number, now=ctx.now())
    )


async def resume(call: Plain) -> Reply:
    """Let a paused dispatch go on. A person needs `approvals:write` for it.

    Needs no If-Match; one that goes on already is 409, and nothing is lost.
    """
    return await _decide(call, "resume", control.resume)


async def _decide(
    call: Plain, action: str, act: Callable[[Connection, int], Awaitable[control.Counts]]
) -> Reply:
    require_approval(call.caller)
    text = call.path("dispatch_id")
    number = number_of(call.ctx, DISPATCH, text)

    async def work(conn: Connection) -> control.Counts:
        counts = await act(conn, number)
        await note(
            conn,
            at=call.ctx.now(),
            actor=call.actor,
            action=f"dispatch.{action}",
            thing=text,
            detail={"changed": counts.changed},
        )
        return counts

    counts = await in_transaction(call.ctx.pool, work, rng=call.ctx.rng, wait_s=POOL_WAIT_S)
    view = DispatchControlled(
        dispatch_id=text, changed=counts.changed, deliveries=dict(counts.by_status)
    )
    return Reply(view)


async def _own_counts(conn: Connection, update_id: int, number: int) -> dict[str, int]:
    """How many messages to own accounts have which status."""
    counts: Counter[str] = Counter()
    for row in await conn.fetch(OWN_COUNTS_SQL, update_id, number):
        counts[kind(row["kind"]).shown.word] += row["n"]
    return dict(counts)


async def find_dispatch(conn: Connection, number: int, *, own: bool) -> asyncpg.Record:
    """Its row. `own`: only if own accounts were told. Raises RefusedError (404)."""
    row = await conn.fetchrow(OWN_DISPATCH_SQL if own else DISPATCH_SQL, number)
    if row is None:
        raise not_found("dispatch")
    return row
