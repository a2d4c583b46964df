"""Build what leaves: parts from the rendering, slots from the people of one slice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from channels.model import ChannelKind, Message, Recipient
from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.ids import DeliveryKey
from dispatcher.stages.send.promise import Promise, promise_of
from templates.headers import headers_for
from templates.slots import Filler, Person, fill, slots_from_json

MINIMUM_LIFE = timedelta(seconds=30)

RENDERING_SQL = """
select r.*, u.status, u.kind, u.severity, u.seq = 1 as first, i.started_at,
       (select d.created_at from dispatch d where d.update_id = u.id and d.wave = 1) as on_its_way_at
from rendering r join incident_update u on u.id = r.update_id join incident i on i.id = u.incident_id
where r.id = $1
"""
PEOPLE_SQL = """
select d.endpoint_id, d.attempt, a.value as address, v.name, acc.name as account,
       coalesce(nullif(c.time_zone, ''), acc.time_zone, 'UTC') as time_zone,
       r.endpoint_id is null as first_text
from delivery d
join address a on a.id = d.address_id
left join contact_version v on v.id = d.contact_version
left join contact c on c.id = v.contact_id
left join account acc on acc.id = d.account_id
left join reached r on r.incident_id = $6 and r.endpoint_id = d.endpoint_id
where d.update_id = $1 and d.channel = $2 and d.purpose = $3 and d.endpoint_id = any($4::bigint[])
  and d.slice_id = $5 and d.state = 0 and a.value is not null
order by d.endpoint_id
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """The people of one slice and their words, ready but for the intent. `ended`: an all-clear.

    `promise` is by when and to whom they should have left, for the metrics.
    """

    parts: dict[str, str]
    recipients: dict[int, Recipient]
    ended: bool
    promise: Promise


async def build(conn: Connection, ctx: Context, row: asyncpg.Record) -> Parcel:
    """Read rendering and people of a slice and fill in what differs from person to person."""
    rendering = await one_row(conn, RENDERING_SQL, row["rendering_id"])
    people = await conn.fetch(
        PEOPLE_SQL,
        row["update_id"],
        row["channel"],
        row["purpose"],
        row["endpoint_ids"],
        row["id"],
        row["incident_id"],
    )
    filler = Filler(slots_from_json(rendering["slots"]))
    kind = ChannelKind.from_code(row["channel"])
    incident = ctx.signer.public_id("inc", row["incident_id"])
    update = ctx.signer.public_id("upd", row["update_id"])
    recipients: dict[int, Recipient] = {}
    for person in people:
        endpoint: int = person["endpoint_id"]
        token = ctx.signer.public_id("uns", endpoint)
        unsubscribe = f"{ctx.settings.public_url}/u/{token}"
        recipients[endpoint] = Recipient(
            key=_key(ctx, row, endpoint, person["attempt"]),
            address=person["address"],
            values=filler.values(
                Person(
                    name=person["name"] or "",
                    account=person["account"] or "",
                    unsubscribe_url=unsubscribe,
                    first_text=person["first_text"],
                    time_zone=person["time_zone"],
                )
            ),
            headers=headers_for(
                ctx.settings.brand,
                incident=incident,
                update=update,
                recipient=token,
                unsubscribe_url=unsubscribe,
            )
            if kind is ChannelKind.EMAIL
            else {},
        )
    ended = rendering["kind"] == "resolved"
    return Parcel(rendering["parts"], recipients, ended, promise_of(ctx, rendering))


def _key(ctx: Context, row: asyncpg.Record, endpoint: int, attempt: int) -> str:
    return ctx.signer.delivery_key(
        DeliveryKey(row["update_id"], row["channel"], endpoint, row["purpose"], attempt)
    )


def batch_message(
    ctx: Context, row: asyncpg.Record, request_id: str, parcel: Parcel, endpoints: Sequence[int]
) -> Message:
    """One request for many: the provider substitutes the slots."""
    return Message(
        request_id=request_id,
        sender=ctx.settings.sender(ChannelKind.from_code(row["channel"])),
        parts=parcel.parts,
        recipients=[parcel.recipients[endpoint] for endpoint in endpoints],
        reply_to=ctx.settings.brand.reply_to,
        valid_for=max(row["expires_at"] - ctx.now(), MINIMUM_LIFE),
    )


def single_message(
    ctx: Context, row: asyncpg.Record, request_id: str, parcel: Parcel, endpoint: int
) -> Message:
    """One request for one: the text is filled here."""
    recipient = parcel.recipients[endpoint]
    return Message(
        request_id=f"{request_id}-{endpoint}",
        sender=ctx.settings.sender(ChannelKind.from_code(row["channel"])),
        parts={name: fill(text, recipient.values) for name, text in parcel.parts.items()},
        recipients=[recipient],
        valid_for=max(row["expires_at"] - ctx.now(), MINIMUM_LIFE),
    )
