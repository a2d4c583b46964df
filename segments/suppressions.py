"""Addresses that must not be used again, kept as keyed hashes that outlive the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from segments.addresses import address_hash
from segments.model import Channel, Db, SuppressionReason

SuppressedHash: TypeAlias = tuple[int, bytes, int, str, datetime]
"""channel, address hash, reason, source, at"""

# Sorted, so that two batches of receipts do not lock crosswise. The first reason stands.
_ADD: Final = """
    insert into suppression (channel, address_hash, reason, source, at)
    select channel, address_hash, reason, source, at
    from unnest($1::smallint[], $2::bytea[], $3::smallint[], $4::text[], $5::timestamptz[])
        as s (channel, address_hash, reason, source, at)
    order by address_hash, channel
    on conflict do nothing
"""
_REMOVE: Final = """
    delete from suppression where channel = $1::smallint and address_hash = $2::bytea
"""
_FIND: Final = """
    select channel, reason, source, at
    from suppression where channel = $1::smallint and address_hash = $2::bytea
"""
_LIST: Final = """
    select s.channel, s.address_hash, s.reason, s.source, s.at, a.value
    from suppression s
    left join address a on a.channel = s.channel and a.hash = s.address_hash
    where (s.address_hash, s.channel) > ($1::bytea, $2::smallint)
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
    """Suppress an address; False if it was already. ValueError if it cannot be an address."""
    hashed = address_hash(hash_key, channel, address)
    return await suppress_hashes(conn, [(channel, hashed, why.reason, why.source, now)]) == 1


async def suppress_hashes(conn: Db, rows: Sequence[SuppressedHash]) -> int:
    """Suppress addresses known by their hash, as receipts are; how many were new."""
    if not rows:
        return 0
    done: str = await conn.execute(_ADD, *(list(column) for column in zip(*rows, strict=True)))
    return int(done.rsplit(" ", 1)[1])


async def remove_suppression(conn: Db, channel: Channel, address: str, *, hash_key: bytes) -> bool:
    """Allow an address again; False if it was not suppressed. ValueError for no address."""
    hashed = address_hash(hash_key, channel, address)
    return await conn.execute(_REMOVE, channel, hashed) == "DELETE 1"


async def find_suppression(
    conn: Db, channel: Channel, address: str, *, hash_key: bytes
) -> Suppression | None:
    """Why an address is suppressed; None if it is not. ValueError if it cannot be an address."""
    hashed = address_hash(hash_key, channel, address)
    row = await conn.fetchrow(_FIND, channel, hashed)
    if row is None:
        return None
    return Suppression(
        Channel(row["channel"]),
        hashed,
        SuppressionReason(row["reason"]),
        row["source"],
        row["at"],
        address,
    )


async def list_suppressions(
    conn: Db, *, after: tuple[bytes, int] = (b"", 0), limit: int = 100
) -> list[Suppression]:
    """A page in the order of (address_hash, channel), which is also the cursor."""
    return [
        Suppression(
            Channel(row["channel"]),
            row["address_hash"],
            SuppressionReason(row["reason"]),
            row["source"],
            row["at"],
            row["value"],
        )
        for row in await conn.fetch(_LIST, *after, limit)
    ]
