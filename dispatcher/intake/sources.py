"""Sources and their secrets, in the database."""

import base64
import binascii
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.intake.adapters import SIGNING, WHSEC
from dispatcher.intake.defaults import Defaults
from dispatcher.intake.model import Keys, Kind, Trouble
from dispatcher.intake.proof import digest
from dispatcher.rules.problem import FieldProblem, RefusedError, conflict, invalid, not_found
from dispatcher.seal import seal, unseal

OVERLAP: Final = timedelta(hours=24)
_WHSEC: Final = "whsec_"
_SHORTEST: Final = 16
_LONGEST: Final = 500
_KEY_PURPOSE: Final = "source"

CREATE_SQL = """
insert into source (kind, name, defaults, created_at) values ($1, $2, $3, $4)
on conflict (name) do nothing returning *
"""
COLUMNS = """
select s.*, greatest(s.last_event_at, (
           select e.at from intake_event e
           where e.source_id = s.id and e.outcome <> 'forged' and e.replay_of is null
           order by e.id desc limit 1)) as heard_at,
       (select to_jsonb(t) from source_trouble t where t.source_id = s.id
        order by t.last_at desc limit 1) as trouble
from source s
"""
FIND_SQL = f"{COLUMNS} where s.id = $1"
BY_NAME_SQL = f"{COLUMNS} where s.name = $1"
LIST_SQL = f"{COLUMNS} where $1::bigint is null or s.id > $1 order by s.id limit $2"
LOCK_SQL = "select * from source where id = $1 for update"
STAY_SQL = "select id from source where id = $1 for key share"
SETTLED_SQL = "select * from source where id = $1 for share"
CHANGE_SQL = "update source set defaults = $2, disabled_at = $3 where id = $1"
REMOVE_SQL = "delete from source where id = $1 returning id"
KEYS_SQL = """
select sealed, hash from source_secret
where source_id = $1 and (ends_at is null or ends_at > $2) order by id desc
"""
STORE_KEY_SQL = """
insert into source_secret (source_id, sealed, hash, created_at) values ($1, $2, $3, $4)
"""
# Only the newest of the old ones lives on: two secrets at a time, however often it is rotated.
END_KEYS_SQL = """
update source_secret s set ends_at = least(s.ends_at, case
    when s.id = (select max(o.id) from source_secret o where o.source_id = $1)
    then $3::timestamptz else $2::timestamptz end) where s.source_id = $1
"""
FORGET_KEYS_SQL = "delete from source_secret where source_id = $1 and ends_at <= $2"
COMPONENTS_SQL = """
select external_id from component where external_id = any($1::text[]) and removed_at is null
"""
ACCOUNTS_SQL = """
select external_id from account where external_id = any($1::text[]) and removed_at is null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """What of a source was refused last; `count` of that kind since it began."""

    kind: Trouble
    at: datetime
    since: datetime
    count: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One sender and what the operator said about it."""

    id: int
    kind: Kind
    name: str
    defaults: Defaults
    created_at: datetime
    disabled_at: datetime | None
    last_event_at: datetime | None = None
    last_error: LastError | None = None


async def create(
    conn: Connection,
    ctx: Context,
    *,
    kind: Kind,
    name: str,
    defaults: Defaults,
    secret: str | None,
    now: datetime,
) -> tuple[Source, str]:
    """A source and its secret, which is never shown again. Raises RefusedError naming each wrong field."""
    await _refuse_unknown(conn, ctx, kind, defaults)
    text = _checked(kind, secret) if secret is not None else _new_secret(kind)
    row = await conn.fetchrow(CREATE_SQL, kind, name, defaults.stored(), now)
    if row is None:
        raise conflict("source-exists", f"There is a source called {name!r} already")
    source = _source(row)
    await _add_secret(conn, ctx, source, text, now)
    return source, text


async def find(conn: Connection, source_id: int) -> Source | None:
    """The source, None where there is none."""
    row = await conn.fetchrow(FIND_SQL, source_id)
    return _source(row) if row else None


async def find_by_name(conn: Connection, name: str) -> Source | None:
    """The source, None where there is none."""
    row = await conn.fetchrow(BY_NAME_SQL, name)
    return _source(row) if row else None


async def list_sources(conn: Connection, *, after: int | None, limit: int) -> list[Source]:
    """In the order in which they were made."""
    return [_source(row) for row in await conn.fetch(LIST_SQL, after, limit)]


async def change(
    conn: Connection,
    ctx: Context,
    source_id: int,
    *,
    defaults: Mapping[str, object],
    disabled: bool | None,
    now: datetime,
) -> Source | None:
    """Change what is given; a default that is None goes back to what it is for a new source.

    The name stays: incidents are known by it. None where there is no such source. Raises RefusedError
    naming each wrong field.
    """
    row = await conn.fetchrow(LOCK_SQL, source_id)
    if row is None:
        return None
    chosen = {**row["defaults"], **defaults}
    merged = Defaults.model_validate({k: v for k, v in chosen.items() if v is not None})
    if defaults:
        await _refuse_unknown(conn, ctx, Kind(row["kind"]), merged)
    disabled_at = row["disabled_at"]
    if disabled is not None:
        disabled_at = (disabled_at or now) if disabled else None
    await conn.execute(CHANGE_SQL, source_id, merged.stored(), disabled_at)
    return await find(conn, source_id)


async def hold(conn: Connection, source_id: int) -> Source | None:
    """The source, which nobody else changes before the transaction ends; None where there is none."""
    if await conn.fetchrow(LOCK_SQL, source_id) is None:
        return None
    return await find(conn, source_id)


async def stay(conn: Connection, source_id: int) -> None:
    """Nobody removes the source before the transaction ends. Raises RefusedError where it is gone."""
    if await conn.fetchval(STAY_SQL, source_id) is None:
        raise not_found("source")


async def settled(conn: Connection, source_id: int) -> Source:
    """The source as it is until the transaction ends: who changes or disables it waits.

    Raises RefusedError where it is gone.
    """
    row = await conn.fetchrow(SETTLED_SQL, source_id)
    if row is None:
        raise not_found("source")
    return _source(row)


async def remove(conn: Connection, source_id: int) -> bool:
    """Forget the source, its secrets and what came from it; what was made of that stays."""
    return await conn.fetchval(REMOVE_SQL, source_id) is not None


async def rotate(
    conn: Connection,
    ctx: Context,
    source: Source,
    *,
    secret: str | None,
    overlap: timedelta,
    now: datetime,
) -> str:
    """A new secret; the old one is good for `overlap` more. Raises RefusedError for one that is unfit."""
    text = _checked(source.kind, secret) if secret is not None else _new_secret(source.kind)
    await conn.execute(END_KEYS_SQL, source.id, now, now + overlap)
    await conn.execute(FORGET_KEYS_SQL, source.id, now)
    await _add_secret(conn, ctx, source, text, now)
    return text


async def keys_of(conn: Connection, ctx: Context, source: Source, *, now: datetime) -> Keys:
    """What proves the source now. Raises BrokenSealError when the installation's secret has changed."""
    rows = await conn.fetch(KEYS_SQL, source.id, now)
    key = ctx.signer.derived_key(_KEY_PURPOSE)
    plain = [unseal(key, row["sealed"], about=_about(source)) for row in rows if row["sealed"]]
    hashes = [bytes(row["hash"]) for row in rows if row["hash"]]
    # The text of the secret is what is shown; what stands in it is what is signed with.
    return Keys(
        secrets=tuple(_signing_bytes(source.kind, item) for item in plain),
        hashes=(*hashes, *(digest(item) for item in plain)),
        signature_header=source.defaults.signature_header or "",
        timestamp_header=source.defaults.timestamp_header or "",
    )


async def _add_secret(
    conn: Connection, ctx: Context, source: Source, text: str, now: datetime
) -> None:
    sealed = hashed = None
    if source.kind in SIGNING:
        key = ctx.signer.derived_key(_KEY_PURPOSE)
        sealed = seal(key, text.encode(), about=_about(source))
    else:
        hashed = digest(text.encode())
    await conn.execute(STORE_KEY_SQL, source.id, sealed, hashed, now)


def _about(source: Source) -> str:
    return f"source {source.id}"


def _new_secret(kind: Kind) -> str:
    if kind in WHSEC:
        return _WHSEC + base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(32)


def _checked(kind: Kind, text: str) -> str:
    """A secret that the sender made. Raises RefusedError."""
    if not _SHORTEST <= len(text) <= _LONGEST or not text.isascii() or not text.isprintable():
        detail = f"{_SHORTEST} to {_LONGEST} printable ASCII characters"
        raise invalid("/secret", "invalid", detail)
    if kind in WHSEC:
        try:
            raw = base64.b64decode(text.removeprefix(_WHSEC), validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) < _SHORTEST:
            raise invalid("/secret", "invalid", "whsec_ and at least 16 bytes in base64")
    return text


def _signing_bytes(kind: Kind, text: bytes) -> bytes:
    if kind in WHSEC:
        return base64.b64decode(text.removeprefix(_WHSEC.encode()))
    return text


async def _refuse_unknown(conn: Connection, ctx: Context, kind: Kind, defaults: Defaults) -> None:
    audience = defaults.audience
    problems = [
        *_only_of_grafana(kind, defaults),
        *await _unknown(conn, COMPONENTS_SQL, defaults.component_ids, "component_ids"),
        *await _unknown(conn, COMPONENTS_SQL, list(defaults.components.values()), "components"),
    ]
    if audience:
        accounts = [*(audience.account_ids or []), *audience.exclude]
        problems += await _unknown(conn, ACCOUNTS_SQL, accounts, "audience")
        problems += [
            FieldProblem("/audience/segments", "unknown", f"There is no segment {name!r}")
            for name in audience.segments or []
            if name not in ctx.segment_rules.segments
        ]
    if defaults.visibility == "accounts" and not (audience and audience.account_ids):
        problems.append(
            FieldProblem(
                "/audience/account_ids", "missing", 'Visibility "accounts" needs them named'
            )
        )
    if problems:
        raise RefusedError(422, "invalid-request", "The source cannot be used", problems)


def _only_of_grafana(kind: Kind, defaults: Defaults) -> list[FieldProblem]:
    if kind is Kind.GRAFANA:
        return []
    detail = "Only Grafana can be told to use other headers"
    return [
        FieldProblem(f"/{name}", "invalid", detail)
        for name in ("signature_header", "timestamp_header")
        if getattr(defaults, name) is not None
    ]


async def _unknown(
    conn: Connection, sql: str, names: Sequence[str], field: str
) -> list[FieldProblem]:
    known = {row["external_id"] for row in await conn.fetch(sql, names)} if names else set()
    what = "account" if field == "audience" else "component"
    return [
        FieldProblem(f"/{field}", "unknown", f"There is no {what} {name!r}")
        for name in dict.fromkeys(names)
        if name not in known
    ]


def _source(row: asyncpg.Record) -> Source:
    return Source(
        id=row["id"],
        kind=Kind(row["kind"]),
        name=row["name"],
        defaults=Defaults.model_validate(row["defaults"]),
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        last_event_at=row.get("heard_at"),
        last_error=_last_error(row.get("trouble")),
    )


def _last_error(found: Mapping[str, Any] | None) -> LastError | None:
    if found is None:
        return None
    return LastError(
        kind=Trouble(found["kind"]),
        at=datetime.fromisoformat(found["last_at"]),
        since=datetime.fromisoformat(found["since"]),
        count=found["n"],
        detail=found["detail"],
    )
