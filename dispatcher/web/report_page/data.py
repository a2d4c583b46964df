"""What the pages show beyond the report itself: whom to phone where, and the words that were sent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.states import DeliveryState
from dispatcher.stages.report import show_address
from dispatcher.stages.report.model import PersonRow
from templates.slots import Filler, Person, fill, slots_from_json

MANAGERS_SQL: Final = (
    "select external_id, manager_name from account where external_id = any($1::text[])"
)
PHONES_SQL: Final = f"""
select c.external_id, a.value
from contact c
join contact_endpoint ce on ce.contact_id = c.id and ce.channel = {ChannelKind.SMS.code}
                        and ce.removed_at is null
join address a on a.id = ce.address_id
where c.external_id = any($1::text[])
"""
ACCOUNT_SQL: Final = """
select 1 from account a join account_update u on u.account_id = a.id
where a.external_id = $2 and u.update_id = (select update_id from dispatch where id = $1)
"""
ZONE_SQL: Final = "select id, time_zone from account where external_id = $1"
# No index of deliveries begins with the account: the account's own endpoints lead to them by key.
TEXTS_SQL: Final = f"""
with mine as materialized (
    select ce.endpoint_id from contact c join contact_endpoint ce on ce.contact_id = c.id
    where c.account_id = $1
)
select distinct r.id, r.channel, r.segment, r.locale, r.parts, r.slots
from delivery d
join slice s on s.id = d.slice_id
join rendering r on r.id = s.rendering_id
where d.update_id = (select update_id from dispatch where id = $2) and s.dispatch_id = $2
  and d.channel = any('{{1,2,3,4}}'::smallint[]) and d.account_id = $1
  and d.endpoint_id = any(array(select endpoint_id from mine))
  and (d.state = {DeliveryState.ACCEPTED:d} or d.evidence <> 0)
order by r.channel, r.id
"""
# A banner has a severity and a link beside its words.
_HEADINGS: Final = ("subject", "title")
_PERSONAL: Final = {"name": "[their name]", "unsubscribe": "[a link of their own]"}
_UNDERLINE: Final = re.compile(r"^[=-]{3,}$\n?", re.MULTILINE)
_BODIES: Final = ("text", "body")


@dataclass(frozen=True, slots=True)
class Text:
    """The words of one channel, as sent; `heading` is the subject or title, empty where there is none."""

    channel: str
    heading: str
    body: str


async def phone_rows(
    conn: Connection,
    not_reached: Sequence[PersonRow],
    ask: Sequence[PersonRow],
    *,
    read_pii: bool,
) -> list[dict[str, Any]]:
    """People to phone, not told first: each with their number (masked without `read_pii`) and manager."""
    persons = [(person, "phone") for person in not_reached] + [(person, "ask") for person in ask]
    accounts = sorted({person.account for person, _ in persons})
    contacts = [person.contact for person, _ in persons if person.contact]
    managers = {
        row["external_id"]: row["manager_name"] for row in await conn.fetch(MANAGERS_SQL, accounts)
    }
    phones = {row["external_id"]: row["value"] for row in await conn.fetch(PHONES_SQL, contacts)}
    return [
        {
            "person": person,
            "kind": kind,
            "phone": show_address(ChannelKind.SMS, phones.get(person.contact), read_pii=read_pii),
            "manager": managers.get(person.account, ""),
        }
        for person, kind in persons
    ]


async def is_account(conn: Connection, dispatch: int, external_id: str) -> bool:
    """Whether this is an account (external id) that the dispatch was for."""
    return await conn.fetchval(ACCOUNT_SQL, dispatch, external_id) is not None


async def account_zone(conn: Connection, external_id: str) -> tuple[int, str] | None:
    """Number and time zone of an account; None when there is none."""
    row = await conn.fetchrow(ZONE_SQL, external_id)
    return None if row is None else (row["id"], row["time_zone"])


async def texts_sent(
    conn: Connection, dispatch: int, account: int, *, name: str, zone: str
) -> list[Text]:
    """What this account was sent, a text per channel and wording, with a stand-in for each person.

    Names and unsubscribe links differ from person to person, and an unsubscribe link acts: neither
    is filled in.
    """
    nobody = Person(account=name, time_zone=zone)
    texts = []
    for row in await conn.fetch(TEXTS_SQL, account, dispatch):
        slots = slots_from_json(row["slots"])
        values = Filler(slots).values(nobody)
        values |= {slot.tag: _PERSONAL[slot.name] for slot in slots if slot.name in _PERSONAL}
        heading, body = (
            " ".join(fill(row["parts"][key], values) for key in keys if key in row["parts"])
            for keys in (_HEADINGS, _BODIES)
        )
        texts.append(
            Text(ChannelKind.from_code(row["channel"]).value, heading, _UNDERLINE.sub("", body))
        )
    return texts
