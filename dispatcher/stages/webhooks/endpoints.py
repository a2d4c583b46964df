"""Endpoints and their secrets, in the database."""

import base64
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import asyncpg

from dispatcher.announce import SUBSCRIBABLE, EventType
from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.rules.problem import invalid
from dispatcher.seal import seal, unseal
from dispatcher.stages.webhooks.address import ForbiddenAddressError, checked_url

Why = Literal["", "person", "gone", "failing"]

OVERLAP: Final = timedelta(hours=24)
_SECRET_BYTES: Final = 32
_KEY_PURPOSE: Final = "webhook"

# By name: the version after this one may add some, and runs beside it while processes are replaced.
_COLUMNS: Final = (
    "id, url, events, description, created_at, created_by, disabled_at, disabled_why, failing_since"
)
CREATE_SQL = f"""
insert into webhook_endpoint (url, events, description, created_at, created_by)
values ($1, $2, $3, $4, $5) returning {_COLUMNS}
"""
FIND_SQL = f"select {_COLUMNS} from webhook_endpoint where id = $1"
LOCK_SQL = f"{FIND_SQL} for no key update"
LIST_SQL = f"""
select {_COLUMNS} from webhook_endpoint where $1::bigint is null or id > $1 order by id limit $2
"""
# Another address is another receiver: what was done to the old one does not count against it.
CHANGE_SQL = f"""
with forgotten as (
    delete from webhook_strain where endpoint_id = $1 and exists (
        select from webhook_endpoint where id = $1 and url <> $2)
)
update webhook_endpoint set url = $2, events = $3, description = $4,
       failing_since = case when url = $2 then failing_since end
where id = $1 returning {_COLUMNS}
"""
# A person may say of what was disabled without one that it is to stay so.
DISABLE_SQL = f"""
update webhook_endpoint set disabled_at = coalesce(disabled_at, $2), disabled_why = $3::text
where id = $1 and (disabled_at is null or $3::text = 'person' and disabled_why <> 'person')
returning {_COLUMNS}
"""
# What waited is tried at once: it may be what it was disabled for that is mended.
ENABLE_SQL = f"""
with forgotten as (
    delete from webhook_strain where endpoint_id = $1 and exists (
        select from webhook_endpoint where id = $1 and disabled_at is not null)
), woken as (
    update webhook_delivery set due_at = least(due_at, $2)
    where endpoint_id = $1 and state = 'waiting' and exists (
        select from webhook_endpoint where id = $1 and disabled_at is not null)
)
update webhook_endpoint set disabled_at = null, disabled_why = '', failing_since = null
where id = $1 and disabled_at is not null returning {_COLUMNS}
"""
REMOVE_SQL = "delete from webhook_endpoint where id = $1 returning id"
SECRETS_SQL = """
select sealed from webhook_secret
where endpoint_id = $1 and (ends_at is null or ends_at > $2) order by id desc
"""
ADD_KEY_SQL = """
insert into webhook_secret (endpoint_id, sealed, created_at) values ($1, $2, $3)
"""
# Only the newest of the old ones lives on: two secrets at a time, however often it is rotated.
END_SECRETS_SQL = """
update webhook_secret s set ends_at = least(s.ends_at, case
    when s.id = (select max(o.id) from webhook_secret o where o.endpoint_id = $1)
    then $3::timestamptz else $2::timestamptz end) where s.endpoint_id = $1
"""
FORGET_SECRETS_SQL = "delete from webhook_secret where endpoint_id = $1 and ends_at <= $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One receiver. `failing_since`: since when it has done nothing but fail."""

    id: int
    url: str
    events: tuple[EventType, ...]
    description: str
    created_at: datetime
    created_by: str
    disabled_at: datetime | None
    disabled_why: Why
    failing_since: datetime | None


def endpoint_of(row: asyncpg.Record) -> Endpoint:
    """The row as it is used. What only a later version can tell is not shown."""
    known = tuple(item for item in SUBSCRIBABLE if item in row["events"])
    return Endpoint(**{**row, "events": known})


async def create(
    conn: Connection,
    ctx: Context,
    *,
    url: str,
    events: Collection[EventType],
    description: str,
    actor: str,
    now: datetime,
) -> tuple[Endpoint, str]:
    """An endpoint and its secret, which is never shown again. Raises RefusedError for a wrong field."""
    wanted = _checked(ctx, url, events)
    row = await one_row(conn, CREATE_SQL, url, wanted, description, now, actor)
    endpoint = endpoint_of(row)
    return endpoint, await _add_secret(conn, ctx, endpoint.id, now)


async def find(conn: Connection, endpoint_id: int, *, lock: bool = False) -> Endpoint | None:
    """The endpoint, None where there is none; `lock`: nobody else changes it until the transaction ends."""
    row = await conn.fetchrow(LOCK_SQL if lock else FIND_SQL, endpoint_id)
    return endpoint_of(row) if row else None


async def list_endpoints(conn: Connection, *, after: int | None, limit: int) -> list[Endpoint]:
    """In the order in which they were made."""
    return [endpoint_of(row) for row in await conn.fetch(LIST_SQL, after, limit)]


async def change(
    conn: Connection,
    ctx: Context,
    endpoint_id: int,
    *,
    url: str,
    events: Collection[EventType],
    description: str,
) -> Endpoint:
    """Set what may be changed. Raises RefusedError for a wrong field, LookupError without endpoint."""
    wanted = _checked(ctx, url, events)
    return endpoint_of(await one_row(conn, CHANGE_SQL, endpoint_id, url, wanted, description))


async def disable(
    conn: Connection, endpoint_id: int, *, why: Why, now: datetime
) -> Endpoint | None:
    """Tell it nothing more; None when that is so already, or there is no such endpoint."""
    row = await conn.fetchrow(DISABLE_SQL, endpoint_id, now, why)
    return endpoint_of(row) if row else None


async def enable(conn: Connection, endpoint_id: int, *, now: datetime) -> Endpoint | None:
    """Tell it again, and at once what waited; None when it was not disabled."""
    row = await conn.fetchrow(ENABLE_SQL, endpoint_id, now)
    return endpoint_of(row) if row else None


async def remove(conn: Connection, endpoint_id: int) -> bool:
    """Forget the endpoint, its secrets and its log."""
    return await conn.fetchval(REMOVE_SQL, endpoint_id) is not None


async def rotate(
    conn: Connection, ctx: Context, endpoint_id: int, *, overlap: timedelta, now: datetime
) -> str:
    """A new secret; messages are signed with the old one too for `overlap` more."""
    await conn.execute(END_SECRETS_SQL, endpoint_id, now, now + overlap)
    await conn.execute(FORGET_SECRETS_SQL, endpoint_id, now)
    return await _add_secret(conn, ctx, endpoint_id, now)


async def secrets_of(
    conn: Connection, ctx: Context, endpoint_id: int, *, now: datetime
) -> Sequence[str]:
    """What its messages are signed with now, the newest first. Raises BrokenSealError."""
    key = ctx.signer.derived_key(_KEY_PURPOSE)
    rows = await conn.fetch(SECRETS_SQL, endpoint_id, now)
    return [unseal(key, row["sealed"], about=_about(endpoint_id)).decode() for row in rows]


async def _add_secret(conn: Connection, ctx: Context, endpoint_id: int, now: datetime) -> str:
    text = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    key = ctx.signer.derived_key(_KEY_PURPOSE)
    sealed = seal(key, text.encode(), about=_about(endpoint_id))
    await conn.execute(ADD_KEY_SQL, endpoint_id, sealed, now)
    return text


def _about(endpoint_id: int) -> str:
    return f"webhook {endpoint_id}"


def _checked(ctx: Context, url: str, events: Collection[EventType]) -> list[EventType]:
    try:
        checked_url(url, ctx.settings.webhooks)
    except ForbiddenAddressError as error:
        raise invalid("/url", "forbidden", f"The address {error}") from None
    wanted: list[EventType] = [item for item in SUBSCRIBABLE if item in events]
    if not wanted:
        raise invalid("/events", "missing", f"Name at least one of: {', '.join(SUBSCRIBABLE)}")
    return wanted
