"""Build what leaves: parts from the rendering, slots from the people of one slice."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from channels.model import ChannelKind, Message, Recipient
from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import DeliveryState
from dispatcher.stages.send.people import PERSON_JOINS, person_columns
from dispatcher.stages.send.promise import Promise, promise_of
from templates.headers import thread_headers
from templates.slots import Filler, Person, fill, slots_from_json

log = structlog.get_logger(__name__)

# People filled in before whoever holds a lock, or sends something more urgent, may go on.
TURN_AFTER = 100
MINIMUM_LIFE = timedelta(seconds=30)

RENDERING_SQL = """
select r.*, u.status, u.kind, u.severity, u.seq = 1 as first, i.started_at,
       (select d.created_at from dispatch d where d.update_id = u.id and d.wave = 1) as on_its_way_at
from rendering r join incident_update u on u.id = r.update_id join incident i on i.id = u.incident_id
where r.id = $1
"""
PEOPLE_SQL = f"""
select k.endpoint_id, k.attempt, {person_columns("$6")}
from delivery k {PERSON_JOINS}
where k.update_id = $1 and k.channel = $2 and k.purpose = $3 and k.endpoint_id = any($4::bigint[])
  and k.slice_id = $5 and k.state = {DeliveryState.PLANNED:d} and a.value is not null
order by k.endpoint_id
"""
EARLIER_SQL = """
select o.id from incident_update o where o.incident_id = $1 and o.id < $2 and o.state <> 'draft'
"""


@dataclass(frozen=True, slots=True)
class Words:
    """What a slice says, and what of it differs from person to person. `ended`: an all-clear.

    `promise` is by when and to whom it should have left, for the metrics.
    """

    parts: dict[str, str]
    filler: Filler
    ended: bool
    promise: Promise


@dataclass(frozen=True, slots=True)
class Parcel:
    """The people of one slice and their words, ready to leave. `unfit`: for whom no message can be made."""

    words: Words
    recipients: dict[int, Recipient]
    unfit: list[int]


async def read_words(conn: Connection, ctx: Context, row: asyncpg.Record) -> Words:
    """The rendering of a slice."""
    rendering = await one_row(conn, RENDERING_SQL, row["rendering_id"])
    return Words(
        rendering["parts"],
        Filler(slots_from_json(rendering["slots"])),
        rendering["kind"] == "resolved",
        promise_of(ctx, rendering),
    )


async def build(conn: Connection, ctx: Context, row: asyncpg.Record) -> Parcel:
    """The messages of a slice as they were, or would be, sent; nothing is decided or written."""
    words = await read_words(conn, ctx, row)
    earlier = [
        one["id"] for one in await conn.fetch(EARLIER_SQL, row["incident_id"], row["update_id"])
    ]
    people = await conn.fetch(
        PEOPLE_SQL,
        row["update_id"],
        row["channel"],
        row["purpose"],
        row["endpoint_ids"],
        row["id"],
        earlier,
    )
    return await fill_in(ctx, row, words, people)


async def fill_in(
    ctx: Context, row: asyncpg.Record, words: Words, people: Iterable[asyncpg.Record]
) -> Parcel:
    """Fill in what differs from person to person; other work gets a turn every few milliseconds.

    Whatever is wrong with one person is no reason to leave the others without word.
    """
    is_mail = row["channel"] == ChannelKind.EMAIL.code
    headers = thread_headers(
        ctx.settings.brand,
        incident=ctx.signer.public_id("inc", row["incident_id"]),
        update=ctx.signer.public_id("upd", row["update_id"]),
    )
    sign, token_of = ctx.signer.delivery_keys(), ctx.signer.public_ids("uns")
    update, channel, purpose = row["update_id"], row["channel"], row["purpose"]
    links = f"{ctx.settings.public_url}/u/"
    recipients: dict[int, Recipient] = {}
    unfit: list[int] = []
    give_way = partial(asyncio.sleep, 0) if row["lane"] == 0 else ctx.precedence.give_way
    for number, person in enumerate(people, 1):
        if number % TURN_AFTER == 0:
            await give_way()
        endpoint: int = person["endpoint_id"]
        try:
            token = token_of(endpoint)
            unsubscribe = links + token
            recipients[endpoint] = Recipient(
                key=sign(DeliveryKey(update, channel, endpoint, purpose, person["attempt"])),
                address=person["address"],
                values=_values(words.filler, person, unsubscribe),
                headers=headers(token, unsubscribe) if is_mail else {},
            )
        except Exception as error:  # noqa: BLE001 - the text of an error may hold a name
            log.error("person_not_filled_in", endpoint=endpoint, error=type(error).__name__)  # noqa: TRY400 - as above
            unfit.append(endpoint)
    return Parcel(words, recipients, unfit)


def _values(filler: Filler, person: asyncpg.Record, unsubscribe: str) -> dict[str, str]:
    return filler.values(
        Person(
            name=person["name"] or "",
            account=person["account"] or "",
            unsubscribe_url=unsubscribe,
            first_text=person["first_text"],
            time_zone=person["time_zone"],
        )
    )


def batch_message(
    ctx: Context, row: asyncpg.Record, request_id: str, parcel: Parcel, endpoints: Sequence[int]
) -> Message:
    """One request for many: the provider substitutes the slots."""
    return Message(
        request_id=request_id,
        sender=ctx.settings.sender(ChannelKind.from_code(row["channel"])),
        parts=parcel.words.parts,
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
        parts={name: fill(text, recipient.values) for name, text in parcel.words.parts.items()},
        recipients=[recipient],
        valid_for=max(row["expires_at"] - ctx.now(), MINIMUM_LIFE),
    )
