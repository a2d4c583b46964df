"""What one customer got and when: the question an account manager asks."""

from collections import defaultdict
from datetime import datetime
from typing import Any, Final

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.ids import ForgedIdError, Signer
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import invalid, not_found
from dispatcher.rules.states import (
    NOTIFIED,
    DeliveryState,
    Purpose,
    SliceState,
    fact_from_code,
    shown,
)
from dispatcher.stages.report.account_model import (
    AccountDeliveries,
    AccountUpdate,
    DeliveryRow,
    TimelineEvent,
)
from dispatcher.stages.report.gather import TOLD_FACTS
from dispatcher.stages.report.masks import show_address
from dispatcher.stages.report.people import words_for

MAX_LIMIT: Final = 200
_PROVEN: Final = frozenset(status.word for status in NOTIFIED)

ACCOUNT_SQL: Final = (
    "select id, external_id, name, segment, manager_name from account where external_id = $1"
)
UPDATES_SQL: Final = """
select u.id, u.seq, u.kind, u.status, u.severity, u.facts->>'title' as title, u.at,
       i.id as incident_id, i.external_id
from account_update au
join incident_update u on u.id = au.update_id
join incident i on i.id = u.incident_id
where au.account_id = $1 and ($2::bigint is null or au.update_id < $2)
order by au.update_id desc limit $3
"""
# No index of deliveries begins with the account: the account's own endpoints lead to them by key.
DELIVERIES_SQL: Final = """
with mine as materialized (
    select ce.endpoint_id from contact c join contact_endpoint ce on ce.contact_id = c.id
    where c.account_id = $1
    union
    select -c.id from contact c where c.account_id = $1
)
select d.update_id, d.channel, d.endpoint_id, d.purpose, d.state, d.reason, d.attempt, d.evidence, d.sent_at,
       d.done_at, s.state as slice_state, s.maybe_duplicate, ad.value as address, v.name, v.contact_id,
       coalesce(c.external_id, '') as external_id
from delivery d
join slice s on s.id = d.slice_id
left join address ad on ad.id = d.address_id
left join contact_version v on v.id = d.contact_version
left join contact c on c.id = v.contact_id
where d.update_id = any($2::bigint[]) and d.channel = any('{1,2,3,4}'::smallint[])
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


async def account_deliveries(
    conn: Connection,
    external_id: str,
    *,
    signer: Signer,
    limit: int = 20,
    cursor: str | None = None,
    read_pii: bool = False,
) -> AccountDeliveries:
    """Up to `limit` updates of one account, and their deliveries, in two look-ups by key.

    Without `read_pii` addresses are masked. Raises RefusedError: 404 for an unknown account, 422 for
    a cursor that is not ours or a limit outside 1..200.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid("limit", "out_of_range", f"limit must be between 1 and {MAX_LIMIT}")
    account = await conn.fetchrow(ACCOUNT_SQL, external_id)
    if account is None:
        raise not_found("account")
    before = _read_cursor(signer, cursor)
    found = await conn.fetch(UPDATES_SQL, account["id"], before, limit + 1)
    page = found[:limit]
    updates = [row["id"] for row in page]
    rows = await conn.fetch(DELIVERIES_SQL, account["id"], updates)
    timelines = await _timelines(conn, updates, rows)
    deliveries: dict[int, list[DeliveryRow]] = defaultdict(list)
    for row in rows:
        deliveries[row["update_id"]].append(
            _delivery(row, timelines.get(_key(row), ()), read_pii=read_pii)
        )
    return AccountDeliveries(
        account=account["external_id"],
        name=account["name"],
        segment=account["segment"],
        manager=account["manager_name"],
        updates=tuple(_update(row, signer, tuple(deliveries[row["id"]])) for row in page),
        next_cursor=signer.public_id("upd", page[-1]["id"]) if len(found) > limit else None,
    )


def _read_cursor(signer: Signer, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return signer.read_public_id("upd", cursor)
    except ForgedIdError:
        raise invalid("cursor", "malformed", "Use next_cursor as it was given") from None


def _key(row: asyncpg.Record) -> tuple[int, int, int, int]:
    return row["update_id"], row["channel"], row["endpoint_id"], row["purpose"]


async def _timelines(
    conn: Connection, updates: list[int], rows: list[asyncpg.Record]
) -> dict[tuple[int, int, int, int], tuple[TimelineEvent, ...]]:
    events: dict[tuple[int, int, int, int], list[TimelineEvent]] = defaultdict(list)
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
    row: asyncpg.Record, timeline: tuple[TimelineEvent, ...], *, read_pii: bool
) -> DeliveryRow:
    kind = ChannelKind.from_code(row["channel"])
    status = shown(
        DeliveryState(row["state"]), SliceState(row["slice_state"]), row["attempt"], row["evidence"]
    )
    words = words_for(status, row["reason"])
    return DeliveryRow(
        contact=row["external_id"],
        name=row["name"] or "",
        channel=kind.value,
        address=show_address(kind, row["address"], read_pii=read_pii),
        purpose=Purpose(row["purpose"]).name.lower(),
        status=status.word,
        reason=words.code if row["reason"] else "",
        reason_text=words.text if row["reason"] else "",
        advice=words.advice if row["reason"] else "",
        attempt=row["attempt"],
        maybe_duplicate=row["maybe_duplicate"],
        sent_at=row["sent_at"],
        settled_at=row["done_at"],
        timeline=timeline,
    )


def _update(
    row: asyncpg.Record, signer: Signer, deliveries: tuple[DeliveryRow, ...]
) -> AccountUpdate:
    values: dict[str, Any] = {name: row[name] for name in ("seq", "kind", "status", "at")}
    return AccountUpdate(
        update=signer.public_id("upd", row["id"]),
        incident=signer.public_id("inc", row["incident_id"]),
        incident_external_id=row["external_id"],
        severity=Severity(row["severity"]).name,
        title=row["title"] or "",
        # From the evidence at hand: the roll-up may be minutes older than the latest receipt.
        first_told_at=min((at for item in deliveries if (at := _told_at(item))), default=None),
        deliveries=deliveries,
        **values,
    )


def _told_at(row: DeliveryRow) -> datetime | None:
    """When there was first proof of this one; None while its status is no proof."""
    if row.status not in _PROVEN:
        return None
    proofs = [event.at for event in row.timeline if event.fact in TOLD_FACTS]
    return min(proofs, default=row.settled_at)
