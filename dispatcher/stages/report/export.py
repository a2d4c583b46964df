"""One dispatch's deliveries as CSV, streamed: a million rows pass through, none is kept."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Final

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.problem import not_found
from dispatcher.rules.states import NOTIFIED, DeliveryState, Purpose, Shown, SliceState, shown
from dispatcher.stages.report.gather import TOLD_CODES
from dispatcher.stages.report.masks import show_address
from dispatcher.stages.report.people import segment_word, words_for

COLUMNS: Final = (
    "account",  # the operator's id of the customer; empty for the public post
    "account_name",
    "segment",  # of the wording; "public" for the public post
    "contact",  # the operator's id of the person, empty where none was given
    "contact_name",
    "channel",  # email, sms, social, banner
    "address",  # masked without the right to read personal data
    "purpose",  # notice, or why else it was sent
    "status",  # queued … unconfirmed, as everywhere
    "reason",  # stable word, empty when nothing went wrong
    "reason_text",  # the same in plain words
    "advice",  # what to do about it
    "attempt",  # 1 is the first
    "maybe_duplicate",  # yes: resent although the first may have left
    "sent_at",  # when the provider took it; ISO 8601, UTC
    "notified_at",  # first proof: delivered, displayed or posted
)
_PREFETCH: Final = 1_000

EXISTS_SQL: Final = "select update_id from dispatch where id = $1"
ROWS_SQL: Final = """
with proof as materialized (
    select channel, endpoint_id, purpose, min(at) as at from receipt
    where update_id = $1 and matched and fact = any($3::smallint[])
    group by channel, endpoint_id, purpose
)
select d.channel, d.purpose, d.state, d.reason, d.attempt, d.evidence, d.sent_at, d.done_at, p.at as told_at,
       s.state as slice_state, s.maybe_duplicate, coalesce(r.segment, a.segment, '') as segment,
       coalesce(a.external_id, '') as account, coalesce(a.name, '') as account_name, ad.value as address,
       coalesce(v.name, '') as contact_name, coalesce(c.external_id, '') as contact
from delivery d
join slice s on s.id = d.slice_id
left join rendering r on r.id = s.rendering_id
left join account a on a.id = d.account_id
left join address ad on ad.id = d.address_id
left join contact_version v on v.id = d.contact_version
left join contact c on c.id = v.contact_id
left join proof p on p.channel = d.channel and p.endpoint_id = d.endpoint_id and p.purpose = d.purpose
where d.update_id = $1 and s.dispatch_id = $2
order by d.channel, d.endpoint_id, d.purpose
"""

# What a spreadsheet would run as a formula; a phone number is a known exception, and stays text.
_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]")
_PHONE: Final = re.compile(r"\+[0-9•]{3,15}")


def guarded(cell: str) -> str:
    """The cell, with an apostrophe in front where a spreadsheet would take it for a formula."""
    if _FORMULA.match(cell) and not _PHONE.fullmatch(cell):
        return f"'{cell}"
    return cell


async def export_csv(
    conn: Connection, dispatch_id: int, *, read_pii: bool = False
) -> AsyncIterator[str]:
    """CSV text (RFC 4180, header first) in pieces of up to 1,000 lines.

    Raises RefusedError (404) at the first piece when there is no such dispatch.
    """
    update_id = await conn.fetchval(EXISTS_SQL, dispatch_id)
    if update_id is None:
        raise not_found("dispatch")
    yield _lines([COLUMNS])
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        cursor = await conn.cursor(ROWS_SQL, update_id, dispatch_id, TOLD_CODES)
        while rows := await cursor.fetch(_PREFETCH):
            yield _lines(_cells(row, read_pii=read_pii) for row in rows)


def _lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(row: asyncpg.Record, *, read_pii: bool) -> list[str]:
    kind = ChannelKind.from_code(row["channel"])
    status = shown(
        DeliveryState(row["state"]), SliceState(row["slice_state"]), row["attempt"], row["evidence"]
    )
    words = words_for(status, row["reason"])
    known = bool(row["reason"])
    cells = (
        row["account"],
        row["account_name"],
        segment_word(row["segment"]),
        row["contact"],
        row["contact_name"],
        kind.value,
        show_address(kind, row["address"], read_pii=read_pii),
        Purpose(row["purpose"]).name.lower(),
        status.word,
        words.code if known else "",
        words.text if known else "",
        words.advice if known else "",
        str(row["attempt"]),
        "yes" if row["maybe_duplicate"] else "no",
        _moment(row["sent_at"]),
        _moment(_told(row, status)),
    )
    return [guarded(cell) for cell in cells]


def _told(row: asyncpg.Record, status: Shown) -> datetime | None:
    if status not in NOTIFIED:
        return None
    told: datetime | None = row["told_at"] or row["done_at"] or row["sent_at"]
    return told


def _moment(value: datetime | None) -> str:
    return "" if value is None else value.isoformat().replace("+00:00", "Z")
