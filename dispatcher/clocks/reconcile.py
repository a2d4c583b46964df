"""Reconcile: what may or may not have left is settled by evidence, then by asking, then by policy."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from channels.model import Accepted, AnswersLookUps, ChannelKind, LookUp, Rejected
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.jobs import Event, publish
from dispatcher.rules.policy import RETRY_LANE, Severity
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import TAKEN_MASK, DeliveryState, SliceState, bit
from dispatcher.stages.send.record import mark_reached, move, settle
from dispatcher.stages.track import MAX_TRIES
from templates.slots import Filler, Person, fill, slots_from_json

log = structlog.get_logger(__name__)

LOOK_UPS_A_TURN = 20

AMBIGUOUS_SQL = f"""
select s.id from slice s where s.state = {SliceState.AMBIGUOUS:d} order by s.lane, s.id limit 100
"""
READ_SQL = f"""
select s.*, u.severity from slice s join incident_update u on u.id = s.update_id
where s.id = $1 and s.state = {SliceState.AMBIGUOUS:d}
"""
LOCK_SQL = READ_SQL + " for update of s"
OPEN_SQL = f"""
select d.endpoint_id, d.evidence & 32767 as evidence, d.attempt
from delivery d
where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
  and d.slice_id = $5 and d.state = {DeliveryState.PLANNED:d}
order by d.endpoint_id
"""
PROVED_SQL = """
select exists (select from delivery d where d.update_id = $1 and d.channel = $2 and d.purpose = $3
               and d.endpoint_id = any($4::bigint[]) and d.slice_id = $5 and d.evidence & $6::int <> 0)
"""
QUESTION_SQL = """
select d.endpoint_id, a.value as address, v.name, acc.name as account, r.parts, r.slots, s.intent_at,
       s.sender_id, n.identity, q.endpoint_id is null as first_text
from delivery d
join slice s on s.id = d.slice_id
join sender n on n.id = s.sender_id
join rendering r on r.id = s.rendering_id
join address a on a.id = d.address_id
left join contact_version v on v.id = d.contact_version
left join account acc on acc.id = d.account_id
left join reached q on q.incident_id = s.incident_id and q.endpoint_id = d.endpoint_id
where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
  and a.value is not null
"""
# Proof may lie unread, most of all after a time without workers.
UNREAD_SQL = "select exists (select from receipt_batch where received_at <= $1 and tries < $2)"
CLOSE_SQL = f"update slice set state = {SliceState.DONE:d}, ended_at = $2 where id = $1"


async def reconcile(ctx: Context) -> None:
    """One turn over ambiguous slices: free evidence first, then look-ups, then policy after the window."""
    for row in await ctx.pool.fetch(AMBIGUOUS_SQL):
        slice_id: int = row["id"]
        await in_transaction(ctx.pool, partial(_by_evidence, ctx, slice_id), rng=ctx.rng)
        found = await _ask(ctx, slice_id)
        await in_transaction(ctx.pool, partial(_conclude, ctx, slice_id, found), rng=ctx.rng)


async def _open(conn: Connection, row: asyncpg.Record) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await conn.fetch(OPEN_SQL, *_where(row), row["id"])
    return found


def _where(row: asyncpg.Record) -> tuple[int, int, int, Sequence[int]]:
    return row["update_id"], row["channel"], row["purpose"], row["endpoint_ids"]


async def _by_evidence(ctx: Context, slice_id: int, conn: Connection) -> None:
    """Receipts with our keys settle their rows; SendGrid takes a request whole, so one proves all."""
    row = await conn.fetchrow(LOCK_SQL, slice_id)
    if row is None:
        return
    still = await _open(conn, row)
    proved = [item["endpoint_id"] for item in still if item["evidence"] & TAKEN_MASK]
    if row["channel"] == ChannelKind.EMAIL.code and await conn.fetchval(
        PROVED_SQL, *_where(row), slice_id, TAKEN_MASK
    ):
        proved = [item["endpoint_id"] for item in still]
    await _accept(conn, ctx, row, proved)
    if len(proved) == len(still):
        await _close(conn, ctx, row)


async def _accept(
    conn: Connection, ctx: Context, row: asyncpg.Record, endpoints: Sequence[int]
) -> None:
    if endpoints:
        await settle(
            conn,
            row,
            endpoints,
            state=DeliveryState.ACCEPTED,
            reason=0,
            evidence=bit(Accepted("").fact),
            now=ctx.now(),
            slice_state=SliceState.AMBIGUOUS,
        )
        await mark_reached(conn, row, endpoints)


async def _close(conn: Connection, ctx: Context, row: asyncpg.Record) -> None:
    await conn.execute(CLOSE_SQL, row["id"], ctx.now())
    if row["sender_id"] is not None:
        await publish(conn, [Event("slices.waiting", row["sender_id"], 5)])


async def _ask(ctx: Context, slice_id: int) -> dict[int, Accepted | Rejected]:
    """Look up at the provider, where it can be asked, what it did with each open message."""
    async with ctx.pool.acquire() as conn:
        row = await conn.fetchrow(READ_SQL, slice_id)
        if row is None:
            return {}
        channel: object = ctx.channels.get(ChannelKind.from_code(row["channel"]))
        if not isinstance(channel, AnswersLookUps):
            return {}
        still = [item["endpoint_id"] for item in await _open(conn, row)][:LOOK_UPS_A_TURN]
        people = await conn.fetch(QUESTION_SQL, *_where(row)[:3], still)
    answers: dict[int, Accepted | Rejected] = {}
    for person in people:
        values = Filler(slots_from_json(person["slots"])).values(
            Person(
                name=person["name"] or "",
                account=person["account"] or "",
                first_text=person["first_text"],
            )
        )
        answer = await channel.look_up(
            LookUp(
                address=person["address"],
                text=fill(person["parts"]["text"], values),
                since=person["intent_at"] - timedelta(seconds=5),
                sender=person["identity"],
            )
        )
        if answer is not None:
            answers[person["endpoint_id"]] = answer
    return answers


async def _conclude(
    ctx: Context, slice_id: int, found: dict[int, Accepted | Rejected], conn: Connection
) -> None:
    row = await conn.fetchrow(LOCK_SQL, slice_id)
    if row is None:
        return
    taken = [endpoint for endpoint, answer in found.items() if isinstance(answer, Accepted)]
    await _accept(conn, ctx, row, taken)
    for endpoint, answer in found.items():
        if isinstance(answer, Rejected):
            await _settle(conn, ctx, row, [endpoint], DeliveryState.REJECTED, answer.reason)
    still = [item["endpoint_id"] for item in await _open(conn, row)]
    until = row["ambiguous_at"] + timedelta(seconds=ctx.settings.worker.reconcile_window_s)
    if still and (ctx.now() < until or await conn.fetchval(UNREAD_SQL, until, MAX_TRIES)):
        return
    if still:
        await _by_policy(conn, ctx, row, still)
    await _close(conn, ctx, row)


async def _by_policy(conn: Connection, ctx: Context, row: asyncpg.Record, still: list[int]) -> None:
    """Resend once, flagged, where silence would be worse than saying it twice; else leave it to people."""
    severity = ctx.policy.of(Severity(row["severity"]))
    kind = ChannelKind.from_code(row["channel"])
    may = kind in severity.resend_when_unclear and kind is not ChannelKind.SOCIAL
    if may and not row["maybe_duplicate"] and row["expires_at"] > ctx.now():
        log.warning("resend_maybe_duplicate", slice_id=row["id"], deliveries=len(still))
        await move(
            conn,
            row,
            still,
            lane=RETRY_LANE,
            attempt=row["attempt"] + 1,
            not_before=ctx.now(),
            detail="resent once: the first attempt may have arrived",
            maybe_duplicate=True,
            slice_state=SliceState.AMBIGUOUS,
        )
        return
    await _settle(conn, ctx, row, still, DeliveryState.UNCONFIRMED, Decision.NO_PROOF)


async def _settle(
    conn: Connection,
    ctx: Context,
    row: asyncpg.Record,
    endpoints: Sequence[int],
    state: DeliveryState,
    reason: int,
) -> None:
    await settle(
        conn,
        row,
        endpoints,
        state=state,
        reason=reason,
        evidence=0,
        now=ctx.now(),
        slice_state=SliceState.AMBIGUOUS,
    )
