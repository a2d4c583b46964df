"""Take what waits, a few callbacks a transaction; one that cannot be applied holds up no other."""

from collections import defaultdict
from collections.abc import Sequence

import asyncpg
import structlog

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.ids import ForgedIdError
from dispatcher.rules.receipts import Fact, read
from dispatcher.stages.track.merge import Deliveries
from dispatcher.stages.track.parking import apply, park

PUBLISHES = ("receipts.arrived",)
log = structlog.get_logger(__name__)

BATCHES = 50
MAX_TRIES = 5
# What only the content of a batch can cause; a database that is away or in conflict costs no try.
UNFIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
)

TAKE_SQL = """
delete from receipt_batch where id in (
    select id from receipt_batch where tries < $2 order by id limit $1 for update skip locked)
returning id, receipts
"""
TAKE_ONE_SQL = "delete from receipt_batch where id = $1 and tries < $2 returning id, receipts"
# That a provider calls back at all. A moment's delay is no matter, and most turns find nothing to write.
HEARD_SQL = """
update sender set heard_at = $2
where channel = any($1::smallint[]) and (heard_at is null or heard_at < $2::timestamptz - interval '5 seconds')
"""
COUNT_TRY_SQL = "update receipt_batch set tries = tries + 1 where id = $1 returning tries"


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
    heard: set[int] = set()

    async def work(conn: Connection) -> None:
        batches = await conn.fetch(TAKE_SQL, BATCHES, MAX_TRIES)
        taken[:] = [batch["id"] for batch in batches]
        await reach("track.after_take")
        heard.update(await _apply_batches(conn, ctx, batches))
        await reach("track.before_commit")

    try:
        await in_transaction(ctx.pool, work, rng=ctx.rng)
    except UNFIT:
        for batch in taken:
            await _apply_alone(ctx, batch)
    if heard:
        # Not in the transaction: whoever holds a sender may wait for a slice.
        await ctx.pool.execute(HEARD_SQL, sorted(heard), ctx.now())
    return len(taken) == BATCHES


async def _apply_alone(ctx: Context, batch: int) -> None:
    async def work(conn: Connection) -> None:
        await _apply_batches(conn, ctx, await conn.fetch(TAKE_ONE_SQL, batch, MAX_TRIES))

    try:
        await in_transaction(ctx.pool, work, rng=ctx.rng)
    except UNFIT:
        tries = await ctx.pool.fetchval(COUNT_TRY_SQL, batch)
        log.exception("receipts_not_applied", batch=batch, tries=tries)


async def _apply_batches(
    conn: Connection, ctx: Context, batches: Sequence[asyncpg.Record]
) -> set[int]:
    """Apply what is in them; the channels, as codes, that it was about."""
    groups: dict[Deliveries, list[Fact]] = defaultdict(list)
    read_key = ctx.signer.delivery_key_reader()
    for batch in batches:
        for row in batch["receipts"]:
            try:
                about, fact = read(read_key, row)
            except ForgedIdError:
                log.warning("receipt_with_foreign_key", batch=batch["id"])
                continue
            groups[Deliveries(*about)].append(fact)
    now = ctx.now()
    await park(conn, ctx, await apply(conn, groups, now=now), since=now, now=now)
    return {deliveries.channel for deliveries in groups}
