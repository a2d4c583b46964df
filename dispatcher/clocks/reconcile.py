"""Reconcile: what may or may not have left is settled by evidence, then by asking, then by policy."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import asyncpg
import structlog

from channels.model import Accepted, AnswersLookUps, ChannelKind, LookUp, Rejected, Unclear
from dispatcher.context import Context
from dispatcher.db import AWAY, Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.jobs import Event, publish
from dispatcher.rules.policy import RETRY_LANE, Severity
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import TAKEN_MASK, DeliveryState, SliceState, bit
from dispatcher.stages.send.build import Parcel, build, single_message
from dispatcher.stages.send.record import move, settle
from dispatcher.stages.track import MAX_TRIES

log = structlog.get_logger(__name__)

Answers: TypeAlias = dict[int, Accepted | Rejected | None]
"""By endpoint, what the provider knows of it: None is no trace, or nobody who could be asked."""

SLICES_A_TURN = 100  # of each channel
LOOK_UPS_AT_ONCE = 8
EARLY_LOOK_UPS = 20
# A turn asks no further after this, so that one hanging provider delays the other channels' next turn
# by little more.
ASKING_S = 20.0

# The oldest doubt first: its window is over first.
AMBIGUOUS_SQL = f"""
select id, channel from (
    select s.id, s.channel,
           row_number() over (partition by s.channel order by s.ambiguous_at, s.lane, s.id) as place
    from slice s where s.state = {SliceState.AMBIGUOUS:d}) o
where place <= $1 order by channel, place
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
# Proof may lie unread, most of all after a time without workers.
UNREAD_SQL = "select exists (select from receipt_batch where received_at <= $1 and tries < $2)"
CLOSE_SQL = f"update slice set state = {SliceState.DONE:d}, ended_at = $2 where id = $1"


async def reconcile(ctx: Context) -> None:
    """One turn over ambiguous slices: free evidence first, then look-ups, then policy after the window.

    Channels take their turns side by side: a provider that hangs keeps no other one waiting.
    """
    slices: dict[int, list[int]] = defaultdict(list)
    for row in await ctx.pool.fetch(AMBIGUOUS_SQL, SLICES_A_TURN):
        slices[row["channel"]].append(row["id"])
    await asyncio.gather(*(_turn(ctx, of_channel) for of_channel in slices.values()))


async def _turn(ctx: Context, slices: Sequence[int]) -> None:
    deadline = ctx.clock.monotonic() + ASKING_S
    for slice_id in slices:
        try:
            await in_transaction(ctx.pool, partial(_by_evidence, ctx, slice_id), rng=ctx.rng)
            asked = await _ask(ctx, slice_id, deadline)
            await in_transaction(ctx.pool, partial(_conclude, ctx, slice_id, asked), rng=ctx.rng)
        # Whatever is wrong with one slice, the others have a right to their turn.
        except Exception as error:
            if isinstance(error, AWAY):
                log.warning("slice_not_reconciled", slice_id=slice_id, error=type(error).__name__)
            else:
                log.exception("slice_not_reconciled", slice_id=slice_id)


async def _open(conn: Connection, row: asyncpg.Record) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await conn.fetch(OPEN_SQL, *_where(row), row["id"])
    return found


def _where(row: asyncpg.Record) -> tuple[int, int, int, Sequence[int]]:
    return row["update_id"], row["channel"], row["purpose"], row["endpoint_ids"]


async def _by_evidence(ctx: Context, slice_id: int, conn: Connection) -> None:
    """Receipts with our keys settle their rows; one proves a request where its provider takes all or none."""
    row = await conn.fetchrow(LOCK_SQL, slice_id)
    if row is None:
        return
    still = await _open(conn, row)
    proved = [item["endpoint_id"] for item in still if item["evidence"] & TAKEN_MASK]
    if _all_or_none(ctx, row) and await conn.fetchval(
        PROVED_SQL, *_where(row), slice_id, TAKEN_MASK
    ):
        proved = [item["endpoint_id"] for item in still]
    await _accept(conn, ctx, row, proved)
    if len(proved) == len(still):
        await _close(conn, ctx, row)


def _all_or_none(ctx: Context, row: asyncpg.Record) -> bool:
    """Whether the slice left in one request, and who takes one of it takes all."""
    channel = ctx.channels.get(ChannelKind.from_code(row["channel"]))
    return channel is not None and channel.batch_limit > 1 and channel.atomic_batches


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


async def _close(conn: Connection, ctx: Context, row: asyncpg.Record) -> None:
    await conn.execute(CLOSE_SQL, row["id"], ctx.now())
    if row["sender_id"] is not None:
        await publish(conn, [Event("slices.waiting", row["sender_id"], 5)])


async def _ask(ctx: Context, slice_id: int, deadline: float) -> Answers:
    """Ask the provider, where it can be asked, what it did with each message still open.

    While evidence may yet come, with some of them drawn by lot; then with all. Those that there was no
    time for, or no answer this time, are missing: nothing may be decided about them in this turn. What
    the provider did not say until they are too old to be sent again, it need not say any more.
    """
    async with ctx.pool.acquire() as conn:
        row = await conn.fetchrow(READ_SQL, slice_id)
        if row is None:
            return {}
        still = [item["endpoint_id"] for item in await _open(conn, row)]
        channel: object = ctx.channels.get(ChannelKind.from_code(row["channel"]))
        if not isinstance(channel, AnswersLookUps):
            return dict.fromkeys(still)
        parcel = await build(conn, ctx, row)
    # Nothing can be asked about an address that was erased.
    answers: Answers = {endpoint: None for endpoint in still if endpoint not in parcel.recipients}
    asking = [endpoint for endpoint in still if endpoint in parcel.recipients]
    if ctx.now() < _window_ends(ctx, row):
        asking = ctx.rng.sample(asking, min(EARLY_LOOK_UPS, len(asking)))
    for start in range(0, len(asking), LOOK_UPS_AT_ONCE):
        if ctx.clock.monotonic() >= deadline:
            break
        some = asking[start : start + LOOK_UPS_AT_ONCE]
        questions = [_question(ctx, row, parcel, endpoint) for endpoint in some]
        found = await asyncio.gather(*(channel.look_up(question) for question in questions))
        pairs = zip(some, found, strict=True)
        said = {endpoint: answer for endpoint, answer in pairs if not isinstance(answer, Unclear)}
        answers.update(said)
        if len(said) < len(some):
            break
    return answers if row["expires_at"] > ctx.now() else dict.fromkeys(still) | answers


def _question(ctx: Context, row: asyncpg.Record, parcel: Parcel, endpoint: int) -> LookUp:
    """About the very message that the send stage would build."""
    message = single_message(ctx, row, row["request_id"], parcel, endpoint)
    return LookUp(
        address=message.recipients[0].address,
        text=message.parts["text"],
        since=row["intent_at"] - timedelta(seconds=5),
        sender=message.sender,
    )


def _window_ends(ctx: Context, row: asyncpg.Record) -> datetime:
    ambiguous_at: datetime = row["ambiguous_at"]
    return ambiguous_at + timedelta(seconds=ctx.settings.worker.reconcile_window_s)


async def _conclude(ctx: Context, slice_id: int, asked: Answers, conn: Connection) -> None:
    row = await conn.fetchrow(LOCK_SQL, slice_id)
    if row is None:
        return
    taken = [endpoint for endpoint, answer in asked.items() if isinstance(answer, Accepted)]
    await _accept(conn, ctx, row, taken)
    for endpoint, answer in asked.items():
        if isinstance(answer, Rejected):
            await _settle(conn, ctx, row, [endpoint], DeliveryState.REJECTED, answer.reason)
    still = [item["endpoint_id"] for item in await _open(conn, row)]
    until = _window_ends(ctx, row)
    if still and (ctx.now() < until or await conn.fetchval(UNREAD_SQL, until, MAX_TRIES)):
        return
    decided = [endpoint for endpoint in still if endpoint in asked]
    if decided:
        await _by_policy(conn, ctx, row, decided)
    if len(decided) == len(still):
        await _close(conn, ctx, row)
    await reach("reconcile.before_commit")


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
