"""The deliveries of one account, found by key: the account's own endpoints lead to them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.own import OWN_ACCOUNT
from dispatcher.rules.reasons import words_for
from dispatcher.rules.states import NOTIFIED, SENT_AT, SETTLED_AT, Purpose, fact_from_code
from dispatcher.stages.report.account_model import DeliveryRow, TimelineEvent
from dispatcher.stages.report.gather import TOLD_FACTS
from dispatcher.stages.report.kinds import KIND, Kind, kind
from dispatcher.stages.report.masks import show_address, show_name

ACCOUNT_SQL: Final = (
    "select id, external_id, name, segment, manager_name from account where external_id = $1"
)
OWN_ACCOUNT_SQL: Final = f"{ACCOUNT_SQL} and id {OWN_ACCOUNT}"
# No index of deliveries begins with the account: the account's own endpoints lead to them by key.
DELIVERIES_SQL: Final = f"""
with mine as materialized (
    select ce.endpoint_id from contact c join contact_endpoint ce on ce.contact_id = c.id
    where c.account_id = $1
    union
    select -c.id from contact c where c.account_id = $1
)
select d.update_id, d.channel, d.endpoint_id, d.purpose, d.reason, d.attempt, {SENT_AT} as sent_at,
       {SETTLED_AT} as done_at,
       {KIND} as kind, s.dispatch_id, s.maybe_duplicate, ad.value as address, v.name, v.contact_id,
       coalesce(c.external_id, '') as external_id
from delivery d
join slice s on s.id = d.slice_id
left join address ad on ad.id = d.address_id
left join contact_version v on v.id = d.contact_version
left join contact c on c.id = v.contact_id
where d.update_id = any($2::bigint[]) and d.channel = any('{{1,2,3,4}}'::smallint[])
  and d.endpoint_id = any(array(select endpoint_id from mine)) and d.account_id = $1
order by d.update_id desc, v.contact_id, d.channel, d.purpose
"""
TIMELINE_SQL: Final = """
select distinct update_id, channel, endpoint_id, purpose, at, attempt, fact, detail
from receipt
where update_id = any($1::bigint[]) and channel = any('{1,2,3,4}'::smallint[])
  and endpoint_id = any($2::bigint[]) and matched
order by at, attempt, fact
"""

Key = tuple[int, int, int, int]


class Found(NamedTuple):
    """One delivery as it is shown, and what is needed to judge it."""

    update_id: int
    dispatch_id: int
    contact_id: int | None
    channel: int
    notice: bool
    reason: int
    kind: Kind
    row: DeliveryRow

    @property
    def told_at(self) -> datetime | None:
        """When there was first proof of this one; None while its status is no proof."""
        if self.kind.shown not in NOTIFIED:
            return None
        proofs = [event.at for event in self.row.timeline if event.fact in TOLD_FACTS]
        return min(proofs, default=self.row.settled_at or self.row.sent_at)


async def find_account(conn: Connection, external_id: str, *, own: bool) -> asyncpg.Record | None:
    """The account; None where there is none, or, if `own`, where it is somebody else's."""
    return await conn.fetchrow(OWN_ACCOUNT_SQL if own else ACCOUNT_SQL, external_id)


async def account_rows(
    conn: Connection, account_id: int, updates: Sequence[int], *, read_pii: bool
) -> list[Found]:
    """All deliveries of the account for these updates, newest update first, person by person."""
    rows = await conn.fetch(DELIVERIES_SQL, account_id, updates)
    timelines = await _timelines(conn, updates, rows)
    return [
        Found(
            update_id=row["update_id"],
            dispatch_id=row["dispatch_id"],
            contact_id=row["contact_id"],
            channel=row["channel"],
            notice=row["purpose"] == Purpose.NOTICE,
            reason=row["reason"],
            kind=(its := kind(row["kind"])),
            row=_delivery(row, its, timelines.get(_key(row), ()), read_pii=read_pii),
        )
        for row in rows
    ]


def _key(row: asyncpg.Record) -> Key:
    return row["update_id"], row["channel"], row["endpoint_id"], row["purpose"]


async def _timelines(
    conn: Connection, updates: Sequence[int], rows: Sequence[asyncpg.Record]
) -> dict[Key, tuple[TimelineEvent, ...]]:
    events: dict[Key, list[TimelineEvent]] = defaultdict(list)
    endpoints = sorted({row["endpoint_id"] for row in rows})
    for row in await conn.fetch(TIMELINE_SQL, updates, endpoints):
        events[_key(row)].append(
            TimelineEvent(
                at=row["at"],
                fact=fact_from_code(row["fact"]).value,
                attempt=row["attempt"],
                detail=row["detail"],
            )
        )
    return {key: tuple(found) for key, found in events.items()}


def _delivery(
    row: asyncpg.Record, its: Kind, timeline: tuple[TimelineEvent, ...], *, read_pii: bool
) -> DeliveryRow:
    channel = ChannelKind.from_code(row["channel"])
    words = words_for(its.shown, row["reason"])
    return DeliveryRow(
        contact=row["external_id"],
        name=show_name(row["name"], read_pii=read_pii),
        channel=channel.value,
        address=show_address(channel, row["address"], read_pii=read_pii),
        purpose=Purpose(row["purpose"]).name.lower(),
        status=its.shown.word,
        reason=words.code if row["reason"] else "",
        reason_text=words.text if row["reason"] else "",
        advice=words.advice if row["reason"] else "",
        attempt=row["attempt"],
        maybe_duplicate=row["maybe_duplicate"],
        sent_at=row["sent_at"],
        settled_at=row["done_at"],
        timeline=timeline,
    )
