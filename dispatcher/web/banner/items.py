"""What one user sees: open incidents, and those resolved a moment ago, that concern their account.

Everything is read for many viewers at once, so that an event costs the same few statements whether
one stream is open or ten thousand.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg
from pydantic import BaseModel

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.states import DeliveryState, Purpose
from dispatcher.web.ids import INCIDENT
from segments.addresses import address_hash
from segments.model import Channel
from templates.slots import Filler, Person, fill, slots_from_json

RESOLVED_STAYS: Final = timedelta(minutes=10)
_BANNER: Final = ChannelKind.BANNER.code
_SHOWN_STATES: Final = (DeliveryState.ACCEPTED, DeliveryState.PLANNED)

VIEWER_SQL = """
select a.id, a.name, a.segment, a.locale,
       (select e.id from address d join endpoint e on e.address_id = d.id
        where d.channel = $2 and d.hash = $3) as endpoint_id
from account a where a.external_id = $1 and a.removed_at is null
"""
# The newest planned update of each incident that goes on, or ended within the last minutes.
NEWEST_SQL = """
select i.id as incident_id, i.started_at, i.resolved_at, u.id as update_id, u.seq
from incident i
join lateral (
    select n.id, n.seq from incident_update n
    where n.incident_id = i.id and n.state = 'planned'
      and not exists (select from dispatch d where d.update_id = n.id and d.state = 'cancelled')
    order by n.seq desc limit 1) u on true
where not i.canary and (i.resolved_at is null or i.resolved_at > $1)
  and ($2::bigint[] is null or i.id = any($2))
order by i.id desc limit 100
"""
RENDERINGS_SQL = """
select id, update_id, segment, locale, account_id, parts, slots from rendering
where update_id = any($1::bigint[]) and channel = $2
"""
DELIVERIES_SQL = """
select d.update_id, d.endpoint_id, d.account_id, s.rendering_id
from delivery d join slice s on s.id = d.slice_id
where d.update_id = any($1::bigint[]) and d.channel = $2 and d.endpoint_id = any($3::bigint[])
  and d.purpose = $4 and d.state = any($5::smallint[])
"""
ACCOUNTS_TOLD_SQL = """
select account_id, update_id from account_update
where account_id = any($1::bigint[]) and update_id = any($2::bigint[])
"""


class Item(BaseModel):
    """One banner. Plain text only; a higher `revision` shows again what was dismissed."""

    id: str
    revision: int
    severity: str
    title: str
    body: str
    url: str
    link_text: str
    lang: str
    dismissible: bool
    starts_at: datetime
    ends_at: datetime | None


# A tuple: thousands are looked up at once, and a dataclass is hashed in Python.
class Viewer(NamedTuple):
    """One user as we know them; `endpoint_id` is None for an app user nobody told us about."""

    account_id: int
    account: str
    segment: str
    locale: str
    endpoint_id: int | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything read for one look: who was planned to see which wording of which update."""

    newest: Sequence[asyncpg.Record]
    renderings: Mapping[int, asyncpg.Record]
    by_segment: Mapping[tuple[int, str], Sequence[asyncpg.Record]]
    to_endpoint: Mapping[tuple[int, int, int], int]
    to_account: frozenset[tuple[int, int]]
    fillers: dict[int, Filler] = field(default_factory=dict)
    items: dict[tuple[object, ...], Item] = field(default_factory=dict)


async def find_viewer(conn: Connection, ctx: Context, app_user: str, account: str) -> Viewer | None:
    """The viewer behind a token's names; None for an account we do not know."""
    hashed = address_hash(ctx.address_key, Channel.BANNER, app_user)
    row = await conn.fetchrow(VIEWER_SQL, account, _BANNER, hashed)
    if row is None:
        return None
    return Viewer(row["id"], row["name"], row["segment"], row["locale"], row["endpoint_id"])


async def items_for(
    conn: Connection,
    ctx: Context,
    viewers: Iterable[Viewer],
    *,
    now: datetime,
    incidents: Sequence[int] | None = None,
) -> dict[Viewer, dict[int, Item]]:
    """Per viewer: incident -> item. `incidents` narrows the look; None is every one that shows.

    Those who see the same share one item.
    """
    distinct = list(dict.fromkeys(viewers))
    known = await _look(conn, distinct, now, incidents)
    return {viewer: _items(ctx, viewer, known) for viewer in distinct}


async def _look(
    conn: Connection, viewers: Sequence[Viewer], now: datetime, incidents: Sequence[int] | None
) -> _Known:
    newest = await conn.fetch(NEWEST_SQL, now - RESOLVED_STAYS, incidents)
    updates = [row["update_id"] for row in newest]
    renderings = await conn.fetch(RENDERINGS_SQL, updates, _BANNER) if updates else []
    by_segment: dict[tuple[int, str], list[asyncpg.Record]] = defaultdict(list)
    for row in renderings:
        by_segment[(row["update_id"], row["segment"])].append(row)
    endpoints = [viewer.endpoint_id for viewer in viewers if viewer.endpoint_id is not None]
    accounts = [viewer.account_id for viewer in viewers if viewer.endpoint_id is None]
    planned: list[asyncpg.Record] = []
    if renderings and endpoints:
        planned = await conn.fetch(
            DELIVERIES_SQL, updates, _BANNER, endpoints, Purpose.NOTICE, list(_SHOWN_STATES)
        )
    told: list[asyncpg.Record] = []
    if renderings and accounts:
        told = await conn.fetch(ACCOUNTS_TOLD_SQL, sorted(set(accounts)), updates)
    return _Known(
        newest=newest,
        renderings={row["id"]: row for row in renderings},
        by_segment=by_segment,
        to_endpoint={
            (row["update_id"], row["endpoint_id"], row["account_id"]): row["rendering_id"]
            for row in planned
        },
        to_account=frozenset((row["account_id"], row["update_id"]) for row in told),
    )


def _items(ctx: Context, viewer: Viewer, known: _Known) -> dict[int, Item]:
    found = {}
    for row in known.newest:
        rendering = _rendering_for(viewer, row["update_id"], known)
        if rendering is not None:
            found[row["incident_id"]] = _item(ctx, viewer, row, rendering, known)
    return found


def _rendering_for(viewer: Viewer, update_id: int, known: _Known) -> asyncpg.Record | None:
    """The wording planned for this very user, or else the one for their account's segment."""
    if viewer.endpoint_id is not None:
        planned = known.to_endpoint.get((update_id, viewer.endpoint_id, viewer.account_id))
        return None if planned is None else known.renderings.get(planned)
    if (viewer.account_id, update_id) not in known.to_account:
        return None
    fitting = [
        row
        for row in known.by_segment.get((update_id, viewer.segment), ())
        if row["account_id"] in {None, viewer.account_id}
    ]
    own_words_first = sorted(
        fitting,
        key=lambda row: (row["account_id"] is None, row["locale"] != viewer.locale, row["id"]),
    )
    return own_words_first[0] if own_words_first else None


def _item(
    ctx: Context, viewer: Viewer, row: asyncpg.Record, rendering: asyncpg.Record, known: _Known
) -> Item:
    filler = known.fillers.get(rendering["id"])
    if filler is None:
        filler = known.fillers[rendering["id"]] = Filler(slots_from_json(rendering["slots"]))
    values = filler.values(Person(account=viewer.account))
    alike = (row["incident_id"], rendering["id"], *values.values())
    item = known.items.get(alike)
    if item is None:
        item = known.items[alike] = _filled(ctx, row, rendering, values)
    return item


def _filled(
    ctx: Context, row: asyncpg.Record, rendering: asyncpg.Record, values: Mapping[str, str]
) -> Item:
    parts: dict[str, Any] = {name: fill(text, values) for name, text in rendering["parts"].items()}
    ended = row["resolved_at"]
    return Item(
        id=ctx.signer.public_id(INCIDENT, row["incident_id"]),
        revision=row["seq"],
        severity=parts["severity"],
        title=parts["title"],
        body=parts["body"],
        url=parts["url"],
        link_text=parts["link_text"],
        lang=rendering["locale"],
        dismissible=True,
        starts_at=row["started_at"],
        ends_at=None if ended is None else ended + RESOLVED_STAYS,
    )
