"""Dispatches: how they stand, their deliveries, and the decisions a person takes about them."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import asyncpg

from channels.model import ChannelKind
from dispatcher.audit import note
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.own import OWN_ACCOUNT, OWN_ENDPOINT, told_own
from dispatcher.rules.problem import not_found
from dispatcher.rules.reasons import REASONS
from dispatcher.rules.states import (
    SENT_AT,
    SETTLED_AT,
    DeliveryState,
    Purpose,
    SliceState,
    fact_from_code,
    shown,
)
from dispatcher.stages import control
from dispatcher.stages.report.kinds import KIND, kind
from dispatcher.stages.report.masks import show_address
from dispatcher.web.answers import Reply
from dispatcher.web.ids import DISPATCH, INCIDENT, UPDATE, number_of
from dispatcher.web.lists import Page, PageQuery, page_reply, position
from dispatcher.web.models import Delivery, DeliveryFact, Dispatch, DispatchControlled
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain
from dispatcher.web.scopes import Scope

DISPATCH_SQL = """
select update_id, incident_id, wave, state, paused_at, created_at, planned_at, completed_at
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


def _deliveries_sql(narrowed: str) -> str:
    return f"""
select d.channel, d.endpoint_id, d.purpose, d.state, d.reason, d.evidence, d.attempt,
       {SENT_AT} as sent_at, {SETTLED_AT} as done_at, s.state as slice_state, a.value as address,
       acc.external_id as account_id,
       coalesce(c.external_id, '') as contact_id
from delivery d
join slice s on s.id = d.slice_id
left join address a on a.id = d.address_id
left join account acc on acc.id = d.account_id
left join contact_version v on v.id = d.contact_version
left join contact c on c.id = v.contact_id
where d.update_id = $1 and s.dispatch_id = $2 {narrowed}
  and ($3::smallint is null or d.channel = $3)
  and ($4::bigint is null or (d.channel, d.endpoint_id, d.purpose) > ($4, $5::bigint, $6::bigint))
order by d.channel, d.endpoint_id, d.purpose limit $7
"""


DELIVERIES_SQL = _deliveries_sql("")
OWN_DELIVERIES_SQL = _deliveries_sql(
    f"""and d.channel = any('{{1,2,3,4}}'::smallint[])
        and d.endpoint_id {OWN_ENDPOINT} and d.account_id {OWN_ACCOUNT}"""
)
FACTS_SQL = """
select channel, endpoint_id, purpose, attempt, fact, min(at) as at, min(detail) as detail from receipt
where update_id = $1 and channel = any($2::smallint[]) and endpoint_id = any($3::bigint[]) and matched
group by channel, endpoint_id, purpose, attempt, fact order by min(at), fact
"""


class DeliveryQuery(PageQuery):
    """`channel`: only deliveries on this one."""

    channel: ChannelKind | None = None


class DeliveryPage(Page[Delivery]):
    """Deliveries of one dispatch, in the order of their key."""


async def get_dispatch(call: Plain) -> Reply:
    """Its state and how many deliveries have which status."""
    number = number_of(call.ctx, DISPATCH, call.path("dispatch_id"))
    async with call.connection() as conn:
        row = await _row(conn, number, own=call.caller.limited)
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
    """Withdraw what has not left.

    Needs no If-Match: withdrawn is withdrawn, whoever said so first. Once it has ended, 409.
    """
    ctx = call.ctx
    return await _decide(
        call, "cancel", lambda conn, number: control.cancel(conn, number, now=ctx.now())
    )


async def pause(call: Plain) -> Reply:
    """Hold what has not left. Needs no If-Match: what is held already stays so."""
    ctx = call.ctx
    return await _decide(
        call, "pause", lambda conn, number: control.pause(conn, number, now=ctx.now())
    )


async def resume(call: Plain) -> Reply:
    """Let a paused dispatch go on. Needs no If-Match; one that goes on already is 409, and nothing is lost."""
    return await _decide(call, "resume", control.resume)


async def _decide(
    call: Plain, action: str, act: Callable[[Connection, int], Awaitable[control.Counts]]
) -> Reply:
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


async def list_deliveries(call: Call[None, DeliveryQuery]) -> Reply:
    """One row per address and channel with everything known about it."""
    number = number_of(call.ctx, DISPATCH, call.path("dispatch_id"))
    after = position(call.query, (int, int, int)) or (None, None, None)
    channel = call.query.channel.code if call.query.channel else None
    async with call.connection() as conn:
        update_id = (await _row(conn, number, own=call.caller.limited))["update_id"]
        sql = OWN_DELIVERIES_SQL if call.caller.limited else DELIVERIES_SQL
        rows = await conn.fetch(sql, update_id, number, channel, *after, call.query.limit + 1)
        facts = await _facts(conn, update_id, rows)
    keys = [_key(row) for row in rows]
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)
    views = [
        _delivery(row, facts.get(key, ()), read_pii=read_pii)
        for key, row in zip(keys, rows, strict=True)
    ]
    return page_reply(call, views, keys, DeliveryPage)


async def _own_counts(conn: Connection, update_id: int, number: int) -> dict[str, int]:
    """How many messages to own accounts have which status."""
    counts: Counter[str] = Counter()
    for row in await conn.fetch(OWN_COUNTS_SQL, update_id, number):
        counts[kind(row["kind"]).shown.word] += row["n"]
    return dict(counts)


async def _row(conn: Connection, number: int, *, own: bool) -> asyncpg.Record:
    row = await conn.fetchrow(OWN_DISPATCH_SQL if own else DISPATCH_SQL, number)
    if row is None:
        raise not_found("dispatch")
    return row


def _key(row: asyncpg.Record) -> tuple[int, int, int]:
    return row["channel"], row["endpoint_id"], row["purpose"]


async def _facts(
    conn: Connection, update_id: int, rows: Sequence[asyncpg.Record]
) -> Mapping[tuple[int, int, int], Sequence[DeliveryFact]]:
    channels = sorted({row["channel"] for row in rows})
    endpoints = [row["endpoint_id"] for row in rows]
    found: dict[tuple[int, int, int], list[DeliveryFact]] = defaultdict(list)
    for row in await conn.fetch(FACTS_SQL, update_id, channels, endpoints):
        found[_key(row)].append(
            DeliveryFact(
                fact=fact_from_code(row["fact"]),
                at=row["at"],
                attempt=row["attempt"],
                detail=row["detail"],
            )
        )
    return found


def _delivery(row: asyncpg.Record, facts: Sequence[DeliveryFact], *, read_pii: bool) -> Delivery:
    channel = ChannelKind.from_code(row["channel"])
    status = shown(
        DeliveryState(row["state"]), SliceState(row["slice_state"]), row["attempt"], row["evidence"]
    )
    reason = REASONS[row["reason"]]
    return Delivery(
        channel=channel,
        purpose=Purpose(row["purpose"]).name.lower(),
        account=row["account_id"],
        contact=row["contact_id"] or None,
        address=show_address(channel, row["address"], read_pii=read_pii) or None,
        status=status.word,
        reason=reason.code or None,
        reason_text=reason.text or None,
        attempt=row["attempt"],
        sent_at=row["sent_at"],
        settled_at=row["done_at"],
        timeline=list(facts),
    )
