"""All deliveries of a dispatch in the order of their key, block after block: who was told what, and when.

Each block is a statement of its own, so no snapshot is held for as long as a million rows take. What
changes meanwhile is shown as it was when its block was read; no row is missed and none comes twice.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection, Pool
from dispatcher.rules.reasons import words_for
from dispatcher.rules.states import NOTIFIED, SENT_AT, SETTLED_AT, Purpose
from dispatcher.stages.report.gather import TOLD_CODES
from dispatcher.stages.report.kinds import KIND, kind
from dispatcher.stages.report.masks import show_address, show_name
from dispatcher.stages.report.people import segment_word

COLUMNS: Final = (
    "account",  # the operator's id of the customer; empty for the public post
    "account_name",
    "segment",  # of the wording; "public" for the public post
    "contact",  # the operator's id of the person, empty where none was given
    "contact_name",  # masked without the right to read personal data
    "channel",  # email, sms, social, banner
    "address",  # masked too
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
BLOCK: Final = 1_500  # some 256 KB of CSV

EXISTS_SQL: Final = "select update_id from dispatch where id = $1"
_LOWEST: Final = -(2**63)  # endpoints below 0 stand for contacts without one


class Position(NamedTuple):
    """Behind which key the walk goes on; as it stands here, before all of them."""

    channel: int = 0
    endpoint_id: int = 0
    purpose: int = 0


class Block(NamedTuple):
    """Rows of cells in the order of COLUMNS, and where they end."""

    rows: list[tuple[str, ...]]
    after: Position


class Walk(NamedTuple):
    """What to walk through; `account_id` narrows it to one account."""

    update_id: int
    dispatch_id: int
    account_id: int | None = None
    read_pii: bool = False


# One channel at a time, so that a block is one range of the key, and its receipts are one too. Whatever
# belongs to it is named by its keys: a planner that counts on many would read whole tables a block.
def _block_sql(narrowed: str, receipts: str) -> str:
    return f"""
with page as materialized (
    select d.*, s.maybe_duplicate, s.rendering_id, {KIND} as kind, {SENT_AT} as left_at,
           {SETTLED_AT} as settled_at
    from delivery d join slice s on s.id = d.slice_id
    where d.update_id = $1 and d.channel = $3 and s.dispatch_id = $2 {narrowed}
      and (d.endpoint_id, d.purpose) > ($4::bigint, $5::smallint)
    order by d.endpoint_id, d.purpose limit $6
), proof as materialized (
    select endpoint_id, purpose, min(at) as at from receipt
    where update_id = $1 and channel = $3 and matched and fact = any($7::smallint[]) and {receipts}
    group by endpoint_id, purpose
), people as materialized (
    select v.id, v.name, c.external_id from contact_version v join contact c on c.id = v.contact_id
    where v.id = any(array(select contact_version from page))
)
select d.channel, d.endpoint_id, d.purpose, d.reason, d.attempt, d.kind, d.left_at as sent_at,
       d.settled_at as done_at, d.maybe_duplicate, p.at as told_at,
       coalesce(r.segment, a.segment, '') as segment,
       coalesce(a.external_id, '') as account, coalesce(a.name, '') as account_name,
       ad.value as address, coalesce(o.name, '') as contact_name,
       coalesce(o.external_id, '') as contact
from page d
left join rendering r on r.id = d.rendering_id
left join account a on a.id = d.account_id and a.id = any(array(select account_id from page))
left join address ad on ad.id = d.address_id and ad.id = any(array(select address_id from page))
left join people o on o.id = d.contact_version
left join proof p on p.endpoint_id = d.endpoint_id and p.purpose = d.purpose
order by d.endpoint_id, d.purpose
"""


BLOCK_SQL: Final = _block_sql(
    "",
    "endpoint_id between (select min(endpoint_id) from page) and (select max(endpoint_id) from page)",
)
ACCOUNT_BLOCK_SQL: Final = _block_sql(
    """and d.account_id = $8 and d.endpoint_id = any(array(
        select ce.endpoint_id from contact c join contact_endpoint ce on ce.contact_id = c.id
        where c.account_id = $8
        union select -c.id from contact c where c.account_id = $8))""",
    "endpoint_id = any(array(select endpoint_id from page))",
)


async def next_block(conn: Connection, walk: Walk, after: Position) -> Block | None:
    """Up to BLOCK rows behind `after`; None at the end."""
    narrowed = () if walk.account_id is None else (walk.account_id,)
    sql = BLOCK_SQL if walk.account_id is None else ACCOUNT_BLOCK_SQL
    for channel in sorted(code for item in ChannelKind if (code := item.code) >= after.channel):
        start = after if channel == after.channel else Position(channel, _LOWEST)
        rows = await conn.fetch(
            sql, walk.update_id, walk.dispatch_id, *start, BLOCK, TOLD_CODES, *narrowed
        )
        if rows:
            last = rows[-1]
            end = Position(channel, last["endpoint_id"], last["purpose"])
            return Block([_cells(row, read_pii=walk.read_pii) for row in rows], end)
    return None


async def blocks(pool: Pool, walk: Walk, after: Position) -> AsyncIterator[Block]:
    """All blocks behind `after`, each on a connection of its own turn."""
    while True:
        async with pool.acquire() as conn:
            block = await next_block(conn, walk, after)
        if block is None:
            return
        yield block
        after = block.after


def _cells(row: asyncpg.Record, *, read_pii: bool) -> tuple[str, ...]:
    channel = ChannelKind.from_code(row["channel"])
    its = kind(row["kind"])
    words = words_for(its.shown, row["reason"])
    known = bool(row["reason"])
    told = row["told_at"] or row["done_at"] or row["sent_at"]
    return (
        row["account"],
        row["account_name"],
        segment_word(row["segment"]),
        row["contact"],
        show_name(row["contact_name"], read_pii=read_pii),
        channel.value,
        show_address(channel, row["address"], read_pii=read_pii),
        Purpose(row["purpose"]).name.lower(),
        its.shown.word,
        words.code if known else "",
        words.text if known else "",
        words.advice if known else "",
        str(row["attempt"]),
        "yes" if row["maybe_duplicate"] else "no",
        _moment(row["sent_at"]),
        _moment(told if its.shown in NOTIFIED else None),
    )


def _moment(value: datetime | None) -> str:
    return "" if value is None else value.isoformat().replace("+00:00", "Z")
