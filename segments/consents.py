"""What people say themselves: yes or no to texts, no to a channel. Said once, for good."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from segments.model import Channel, Db

_RECORD: Final = """
    with people as (
        update contact_endpoint ce set consented = $3::boolean
        from address a join endpoint e on e.address_id = a.id
        where a.channel = $1::smallint and a.hash = $2::bytea
          and ce.endpoint_id = e.id and ce.removed_at is null
        returning ce.contact_id, ce.endpoint_id, ce.channel
    )
    insert into consent (contact_id, endpoint_id, channel, granted, source, wording, at)
    select contact_id, endpoint_id, channel, $3::boolean, $4::text, $5::text, $6::timestamptz
    from people order by contact_id
"""
# A wish for a component would outrank the general no.
_UNSUBSCRIBE: Final = """
    with people as (
        select contact_id, channel from contact_endpoint
        where endpoint_id = $1::bigint and removed_at is null
    ), overruled as (
        update subscription s set wanted = false, chosen = true, updated_at = $2::timestamptz
        from people p
        where s.contact_id = p.contact_id and s.channel = p.channel and s.component_id <> 0
    )
    insert into subscription (contact_id, component_id, channel, wanted, chosen, updated_at)
    select contact_id, 0, channel, false, true, $2::timestamptz from people order by contact_id
    on conflict (contact_id, channel, component_id) do update
        set wanted = false, chosen = true, updated_at = excluded.updated_at
        where subscription.wanted or not subscription.chosen
"""


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether consent was given, where, to which words, and when."""

    granted: bool
    source: str
    wording: str
    at: datetime


async def record_consent(conn: Db, channel: Channel, hashed: bytes, consent: Consent) -> int:
    """Note it for everybody who is reached at the address with this hash; how many that are.

    The statement is appended even if it repeats the last one: this is the person speaking.
    """
    done: str = await conn.execute(
        _RECORD, channel, hashed, consent.granted, consent.source, consent.wording, consent.at
    )
    return int(done.rsplit(" ", 1)[1])


async def unsubscribe(conn: Db, endpoint_id: int, now: datetime) -> int:
    """Nothing more to this endpoint, whoever shares it; how many contacts that changed.

    It is the persons' own choice, so later records do not undo it.
    """
    done: str = await conn.execute(_UNSUBSCRIBE, endpoint_id, now)
    return int(done.rsplit(" ", 1)[1])
