"""Addresses that must not be used again, kept as keyed hashes that outlive the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from segments.addresses import address_hash
from segments.model import Channel, Db, SuppressionReason

SuppressedHash: TypeAlias = tuple[int, bytes, int, str, datetime]
"""channel, address hash, reason, source, at"""

LIFTED_BY_THE_PERSON: Final = ("inbound", "provider")
"""Sources of an opt-out that the same person takes back where they said it."""

# Sorted, so that two batches of receipts do not lock crosswise. The first reason stands, unless it is
# an opt-out: a person may take that back, and a bounce or an operator's word must outlast it.
_ADD: Final = f"""
    insert into suppression (channel, address_hash, reason, source, at)
    select channel, address_hash, reason, source, at
    from unnest($1::smallint[], $2::bytea[], $3::smallint[], $4::text[], $5::timestamptz[])
        as s (channel, address_hash, reason, source, at)
    order by address_hash, channel
    on conflict (address_hash, channel) do update
        set reason = excluded.reason, source = excluded.source, at = excluded.at
        where suppression.reason = {SuppressionReason.OPTED_OUT:d}
          and suppression.source = any (array{list(LIFTED_BY_THE_PERSON)})
          and (excluded.reason <> suppression.reason
               or excluded.source <> all (array{list(LIFTED_BY_THE_PERSON)}))
"""
_LIFT: Final = f"""
    delete from suppression x
    using unnest($1::smallint[], $2::bytea[]) as s (channel, address_hash)
    where x.channel = s.channel and x.address_hash = s.address_hash
      and x.reason = {SuppressionReason.OPTED_OUT:d}
      and x.source = any (array{list(LIFTED_BY_THE_PERSON)})
"""
_REMOVE: Final = """
    delete from suppression where channel = $1::smallint and address_hash = $2::bytea
"""
_LIST: Final = """
    select s.channel, s.address_hash, s.reason, s.source, s.at, a.value
    from suppression s
    left join address a on a.channel = s.channel and a.hash = s.address_hash
    where (s.address_hash, s.channel) > ($1::bytea, $2::smallint)
      and ($4::smallint is null or s.channel = $4) and ($5::smallint is null or s.reason = $5)
    order by s.address_hash, s.channel
    limit $3
"""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One suppressed address. `address` is None when we do not know it (erased, or never had)."""

    channel: Channel
    address_hash: bytes
    reason: SuppressionReason
    source: str
    at: datetime
    address: str | None


@dataclass(frozen=True, slots=True)
class Why:
    """What a suppression is for and who entered it."""

    reason: SuppressionReason
    source: str


async def add_suppression(
    conn: Db, channel: Channel, address: str, why: Why, *, hash_key: bytes, now: datetime
) -> bool:
    """Suppress an address; False if that changed nothing. ValueError if it cannot be an address."""
    hashed = address_hash(hash_key, channel, address)
    return await suppress_hashes(conn, [(channel, hashed, why.reason, why.source, now)]) == 1


async def suppress_hashes(conn: Db, rows: Sequence[SuppressedHash]) -> int:
    """Suppress addresses known by their hash, as receipts are; how many that changed."""
    if not rows:
        return 0
    # One statement may not change a row twice.
    rows = list({(row[0], row[1]): row for row in sorted(rows, key=_opt_outs_first)}.values())
    done: str = await conn.execute(_ADD, *(list(column) for column in zip(*rows, strict=True)))
    return int(done.rsplit(" ", 1)[1])


def _opt_outs_first(row: SuppressedHash) -> bool:
    return row[2] != SuppressionReason.OPTED_OUT


async def lift_opt_outs(conn: Db, addresses: Sequence[tuple[int, bytes]]) -> int:
    """Take back what persons told us or the provider themselves; (channel, hash) each.

    Nothing else goes: not what an operator entered, no bounce, no complaint, no unsubscribe link.
    """
    if not addresses:
        return 0
    channels, hashes = zip(*addresses, strict=True)
    done: str = await conn.execute(_LIFT, channels, hashes)
    return int(done.rsplit(" ", 1)[1])


async def remove_suppression(conn: Db, channel: Channel, address: str, *, hash_key: bytes) -> bool:
    """Allow an address again; False if it was not suppressed. ValueError for no address."""
    hashed = address_hash(hash_key, channel, address)
    return await conn.execute(_REMOVE, channel, hashed) == "DELETE 1"


async def list_suppressions(
    conn: Db,
    *,
    after: tuple[bytes, int] = (b"", 0),
    limit: int = 100,
    channel: Channel | None = None,
    reason: SuppressionReason | None = None,
) -> list[Suppression]:
    """A page in the order of (address_hash, channel), which is also the cursor; of one channel or reason."""
    return [
        Suppression(
            Channel(row["channel"]),
            row["address_hash"],
            SuppressionReason(row["reason"]),
            row["source"],
            row["at"],
            row["value"],
        )
        for row in await conn.fetch(_LIST, *after, limit, channel, reason)
    ]
