"""Public voices: endpoints that belong to nobody in the audience."""

import hashlib
from datetime import datetime
from typing import Final

from segments.addresses import normalise
from segments.model import Channel, Db

_FIND: Final = """
    select e.id from address a join endpoint e on e.address_id = a.id
    where a.channel = 3 and a.hash = $1::bytea
"""
_MAKE_ADDRESS: Final = """
    insert into address (channel, value, hash, created_at)
    values (3, $1::text, $2::bytea, $3::timestamptz)
    on conflict (channel, hash) do nothing
"""
_MAKE_ENDPOINT: Final = """
    insert into endpoint (channel, address_id, created_at)
    select channel, id, $2::timestamptz from address where channel = 3 and hash = $1::bytea
    on conflict (address_id) do nothing
"""


async def ensure_voice(conn: Db, handle: str, now: datetime) -> int:
    """The endpoint of our account on a social network, made when it is new.

    A handle is public, so its hash needs no key.
    """
    handle = normalise(Channel.SOCIAL, handle)
    hashed = hashlib.sha256(handle.lower().encode()).digest()
    found: int | None = await conn.fetchval(_FIND, hashed)
    if found is None:
        async with conn.transaction():
            await conn.execute(_MAKE_ADDRESS, handle, hashed, now)
            await conn.execute(_MAKE_ENDPOINT, hashed, now)
            found = await conn.fetchval(_FIND, hashed)
    if found is None:
        raise RuntimeError("The endpoint of a public voice vanished while it was being made.")
    return found
