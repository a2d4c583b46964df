"""What a provider told is kept before it is answered; what a person texted binds at once."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from channels.model import Receipt
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.jobs import Event, publish
from dispatcher.rules.receipts import LIFT, SUPPRESS, Stored, stored
from dispatcher.rules.states import fact_code
from segments.addresses import address_hash
from segments.consents import Consent, record_consent
from segments.model import Channel as AddressChannel
from segments.model import SuppressionReason
from segments.suppressions import lift_opt_outs, suppress_hashes

log = structlog.get_logger(__name__)

ARRIVED = Event("receipts.arrived", 0, 5)
# One statement, and so one answer to wait for: a commit of its own, and whether the tracker is awake.
STORE_SQL = f"""
with kept as (insert into receipt_batch (provider, received_at, receipts) values ($1, $2, $3))
select exists (
    select from pgqueuer where dedupe_key = '{ARRIVED.dedupe_key}' and status in ('queued', 'picked'))
"""


async def store(
    conn: Connection, ctx: Context, provider: str, receipts: Sequence[Receipt], *, now: datetime
) -> int:
    """Keep verified receipts durably and wake the tracker; returns how many carry a key.

    Whether it is one of ours is seen when they are applied. Inbound opt-outs carry an address instead
    of a key and are applied at once. Should it fail halfway the provider asks again, and twice is no more
    than once.
    """
    inbound = [receipt for receipt in receipts if not receipt.key and receipt.address]
    if inbound:
        async with conn.transaction():
            for receipt in inbound:
                await _obey(conn, ctx, receipt, now)
    rows = [_row(receipt) for receipt in receipts if receipt.key]
    if rows and not await conn.fetchval(STORE_SQL, provider, now, rows):
        await publish(conn, [ARRIVED])
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
