"""Track: stored receipts become evidence. Evidence is a set, so order and repetition cannot matter."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import structlog

from channels.model import Receipt
from dispatcher import tally
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.ids import ForgedIdError
from dispatcher.jobs import Event, publish
from dispatcher.rules.reasons import suppression_reason
from dispatcher.rules.receipts import LIFT, SUPPRESS, Fact, Stored, read, stored
from dispatcher.rules.states import (
    EARLIER_ATTEMPTS_SHIFT,
    STATUS_COUNT,
    TAKEN_MASK,
    DeliveryState,
    SliceState,
    bit,
    fact_code,
    fact_from_code,
    shown,
)
from segments.addresses import address_hash
from segments.consents import Consent, record_consent
from segments.model import Channel as AddressChannel
from segments.model import SuppressionReason
from segments.suppressions import lift_opt_outs, suppress_hashes

PUBLISHES = ("receipts.arrived",)
log = structlog.get_logger(__name__)

BATCHES = 50
MAX_TRIES = 5
# What only the content of a batch can cause; a database that is away or in conflict costs no try.
UNFIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    LookupError,
    TypeError,
    ValueError,
)

STORE_SQL = "insert into receipt_batch (provider, received_at, receipts) values ($1, $2, $3)"
TAKE_SQL = """
delete from receipt_batch where id in (
    select id from receipt_batch where tries < $2 order by id limit $1 for update skip locked)
returning id, receipts
"""
TAKE_ONE_SQL = "delete from receipt_batch where id = $1 and tries < $2 returning receipts"
COUNT_TRY_SQL = "update receipt_batch set tries = tries + 1 where id = $1 returning tries"
DAYS_SQL = "select ensure_receipt_partition(d) from unnest($1::date[]) as t(d)"
# See `tally`: slices first, then their deliveries, which need no locks of their own.
LOCK_SLICES_SQL = """
select id from slice where id = any(array(
    select slice_id from delivery where update_id = $1 and channel = $2 and endpoint_id = any($3::bigint[])))
order by id for update
"""
# Keys are looked up with `= any` on each key column: on a fresh partition a join on unnest would be
# planned as a scan of the whole update.
MERGE_SQL = f"""
with k as materialized (
    select * from unnest($3::bigint[], $4::smallint[], $5::smallint[], $6::int[])
                  as t(endpoint_id, purpose, attempt, bits)
), o as materialized (
    select endpoint_id, purpose, attempt, evidence, state, slice_id from delivery
    where update_id = $1 and channel = $2 and endpoint_id = any($3::bigint[])
), n as materialized (
    select o.*, o.evidence | bit_or(case when k.attempt >= o.attempt then k.bits
                                         else k.bits << {EARLIER_ATTEMPTS_SHIFT} end) as fresh,
           bool_or(k.attempt >= o.attempt and k.bits & {TAKEN_MASK} <> 0) as taken
    from o join k on k.endpoint_id = o.endpoint_id and k.purpose = o.purpose
    group by o.endpoint_id, o.purpose, o.attempt, o.evidence, o.state, o.slice_id
), u as (
    update delivery d set evidence = n.fresh,
           state = case when n.state = {DeliveryState.UNCONFIRMED:d} and n.taken
                        then {DeliveryState.ACCEPTED:d} else d.state end,
           done_at = coalesce(d.done_at, $7::timestamptz)
    from n
    where d.update_id = $1 and d.channel = $2 and d.endpoint_id = any($3::bigint[])
      and d.endpoint_id = n.endpoint_id and d.purpose = n.purpose and n.fresh <> n.evidence
)
select n.endpoint_id, n.purpose, n.attempt, n.evidence, n.fresh, n.state, n.taken, n.slice_id,
       s.state as slice_state
from n join slice s on s.id = n.slice_id
"""
ARCHIVE_SQL = """
insert into receipt (day, update_id, endpoint_id, channel, purpose, attempt, fact, matched, at, provider_ref,
                     detail)
select (r.at at time zone 'UTC')::date, $1, r.endpoint_id, $2, r.purpose, r.attempt, r.fact,
       r.endpoint_id = any($10::bigint[]), r.at, r.ref, r.detail
from unnest($3::bigint[], $4::smallint[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::text[],
            $9::text[]) as r(endpoint_id, purpose, attempt, fact, at, ref, detail)
"""
REASON_SQL = """
update delivery set reason = t.reason
from unnest($3::bigint[], $4::smallint[]) as t(endpoint_id, reason)
where update_id = $1 and channel = $2 and delivery.endpoint_id = any($3::bigint[])
  and delivery.endpoint_id = t.endpoint_id and delivery.reason = 0
"""
HASHES_SQL = """
select e.id, a.hash from endpoint e join address a on a.id = e.address_id
where e.channel = $1 and e.id = any($2::bigint[]) and a.hash is not null
"""


async def store(
    conn: Connection, ctx: Context, provider: str, receipts: Sequence[Receipt], *, now: datetime
) -> int:
    """Keep verified receipts durably and wake the tracker; returns how many carry a key.

    Whether it is one of ours is seen when they are applied. Inbound opt-outs carry an address instead
    of a key and are applied at once.
    """
    rows = [_row(receipt) for receipt in receipts if receipt.key]
    async with conn.transaction():
        if rows:
            await conn.execute(STORE_SQL, provider, now, rows)
            await publish(conn, [Event("receipts.arrived", 0, 5)])
        for receipt in receipts:
            if not receipt.key and receipt.address:
                await _obey(conn, ctx, receipt, now)
    return len(rows)


async def _obey(conn: Connection, ctx: Context, receipt: Receipt, now: datetime) -> None:
    """A text sent to us that says stop or start: it binds from this commit on."""
    channel = AddressChannel.SMS
    try:
        hashed = address_hash(ctx.address_key, channel, receipt.address)
    except ValueError:
        # Nobody we write to can have it.
        log.warning("inbound_from_no_number", fact=receipt.fact)
        return
    if receipt.suppress:
        stop = (channel, hashed, SuppressionReason.OPTED_OUT, "inbound", now)
        await suppress_hashes(conn, [stop])
    elif receipt.lift:
        await lift_opt_outs(conn, [(channel, hashed)])
    said = Consent(receipt.lift, "text message", receipt.detail, now)
    await record_consent(conn, channel, hashed, said)


def _row(receipt: Receipt) -> Stored:
    return stored(
        receipt.key,
        fact_code(receipt.fact),
        receipt.at.timestamp(),
        ref=receipt.provider_ref,
        detail=receipt.detail,
        reason=int(receipt.reason or 0),
        marks=receipt.suppress * SUPPRESS | receipt.lift * LIFT,
    )


async def run(ctx: Context, _key: int) -> None:
    """Apply waiting receipts, a few batches a transaction, until none is left."""
    while await apply_some(ctx):
        pass


async def apply_some(ctx: Context) -> bool:
    """Apply up to BATCHES stored callbacks; True when there may be more.

    One that cannot be applied holds up no other. It is tried MAX_TRIES times, at most once a turn of
    the sweep, and then stays, visible to `doctor`.
    """
    taken: list[int] = []

    async def work(conn: Connection) -> None:
        batches = await conn.fetch(TAKE_SQL, BATCHES, MAX_TRIES)
        taken[:] = [batch["id"] for batch in batches]
        await _apply_batches(conn, ctx, batches)

    try:
        await in_transaction(ctx.pool, work, rng=ctx.rng)
    except UNFIT:
        for batch in taken:
            await _apply_alone(ctx, batch)
    return len(taken) == BATCHES


async def _apply_alone(ctx: Context, batch: int) -> None:
    async def work(conn: Connection) -> None:
        await _apply_batches(conn, ctx, await conn.fetch(TAKE_ONE_SQL, batch, MAX_TRIES))

    try:
        await in_transaction(ctx.pool, work, rng=ctx.rng)
    except UNFIT:
        tries = await ctx.pool.fetchval(COUNT_TRY_SQL, batch)
        log.exception("receipts_not_applied", batch=batch, tries=tries)


async def _apply_batches(conn: Connection, ctx: Context, batches: Sequence[asyncpg.Record]) -> None:
    groups: dict[tuple[int, int], list[Fact]] = defaultdict(list)
    for batch in batches:
        for row in batch["receipts"]:
            try:
                fact = read(ctx.signer, row)
            except ForgedIdError:
                log.warning("receipt_with_foreign_key", batch=batch["id"])
                continue
            groups[(fact.key.update, fact.key.channel)].append(fact)
    for (update, channel), rows in sorted(groups.items()):
        await _apply(conn, ctx, update, channel, rows)


async def _apply(
    conn: Connection, ctx: Context, update: int, channel: int, rows: list[Fact]
) -> None:
    masks: dict[tuple[int, int, int], int] = defaultdict(int)
    for row in rows:
        _, _, endpoint, purpose, attempt = row.key
        masks[(endpoint, purpose, attempt)] |= bit(fact_from_code(row.fact))
    keys = [list(column) for column in zip(*masks, strict=True)]
    await _hold_slices(conn, update, channel, keys[0])
    merged = await conn.fetch(MERGE_SQL, update, channel, *keys, list(masks.values()), ctx.now())
    await _count(conn, merged)
    await tally.touch(conn, sorted({item["slice_id"] for item in merged}))
    await _archive(conn, update, channel, rows, [item["endpoint_id"] for item in merged])
    await _consequences(conn, ctx, update, channel, rows)


async def _hold_slices(
    conn: Connection, update: int, channel: int, endpoints: Sequence[int]
) -> None:
    """Lock the slices these deliveries are in; while we waited some may have moved to another."""
    held: set[int] = set()
    while True:
        rows = await conn.fetch(LOCK_SLICES_SQL, update, channel, endpoints)
        if held.issuperset(now := {row["id"] for row in rows}):
            return
        held |= now


async def _count(conn: Connection, merged: Sequence[asyncpg.Record]) -> None:
    moves: dict[int, Counter[int]] = defaultdict(Counter)
    for item in merged:
        if item["fresh"] == item["evidence"]:
            continue
        state = DeliveryState(item["state"])
        after = (
            DeliveryState.ACCEPTED
            if state is DeliveryState.UNCONFIRMED and item["taken"]
            else state
        )
        place, attempt = SliceState(item["slice_state"]), item["attempt"]
        moves[item["slice_id"]][shown(state, place, attempt, item["evidence"])] -= 1
        moves[item["slice_id"]][shown(after, place, attempt, item["fresh"])] += 1
    await tally.add(conn, moves, STATUS_COUNT)


async def _archive(
    conn: Connection, update: int, channel: int, rows: list[Fact], matched: list[int]
) -> None:
    at = [datetime.fromtimestamp(row.at, UTC) for row in rows]
    await conn.execute(DAYS_SQL, sorted({moment.date() for moment in at}))
    await conn.execute(
        ARCHIVE_SQL,
        update,
        channel,
        [row.key.endpoint for row in rows],
        [row.key.purpose for row in rows],
        [row.key.attempt for row in rows],
        [row.fact for row in rows],
        at,
        [row.ref for row in rows],
        [row.detail for row in rows],
        matched,
    )


async def _consequences(
    conn: Connection, ctx: Context, update: int, channel: int, rows: list[Fact]
) -> None:
    """Reasons on the deliveries, and addresses that must (or may again) be used."""
    reasons = {row.key.endpoint: row.reason for row in rows if row.reason}
    if reasons:
        await conn.execute(REASON_SQL, update, channel, list(reasons), list(reasons.values()))
    await _rest_or_lift(conn, ctx, channel, rows)


async def _rest_or_lift(conn: Connection, ctx: Context, channel: int, rows: list[Fact]) -> None:
    marked = [row for row in rows if row.marks]
    if not marked:
        return
    endpoints = [row.key.endpoint for row in marked]
    hashes = {row["id"]: row["hash"] for row in await conn.fetch(HASHES_SQL, channel, endpoints)}
    known = [(row, hashes[row.key.endpoint]) for row in marked if row.key.endpoint in hashes]
    now = ctx.now()
    stops = [
        (channel, hashed, suppression_reason(row.reason), "provider", now)
        for row, hashed in known
        if row.marks & SUPPRESS
    ]
    await suppress_hashes(conn, stops)
    await lift_opt_outs(conn, [(channel, hashed) for row, hashed in known if row.marks & LIFT])
