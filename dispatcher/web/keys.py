"""API keys: made once, shown once, stored as a hash. `tidings keys` and the API's door use this.

A key belongs to a system, or to a person whose role bounds it. A session is a key that signing in makes:
it may what its person may, and ends sooner.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from asyncpg import Record

from dispatcher.audit import note
from dispatcher.db import Connection
from dispatcher.ids import Signer
from dispatcher.rules.problem import conflict
from dispatcher.rules.roles import SCOPES_OF, Role, all_of, granted, is_limited
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.ids import USER
from dispatcher.web.scopes import Scope

PREFIX: Final = "tidings_live_"
LONGEST_SESSION: Final = timedelta(hours=12)
UNUSED_SESSION: Final = timedelta(hours=2)
"""A session that nobody uses for so long is over."""
_KEY: Final = re.compile(r"tidings_live_([0-9a-f]{12})_([0-9a-f]{64})")

CREATE_SQL = """
insert into api_key (id, secret_hash, name, scopes, created_at, expires_at, user_id, kind)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""
REVOKE_SQL = """
update api_key set revoked_at = $2 where id = $1 and kind = 'key' and revoked_at is null returning id
"""
_STORED: Final = """
    id, name, scopes, created_at, expires_at, revoked_at, last_used_at, user_id, replaced_by
    from api_key
"""
# Neither sessions, nor what stands for the command line where a key is asked for.
LIST_SQL = f"""
select {_STORED}
where kind = 'key' and id <> 'cli' and ($1::bigint is null or user_id = $1)
  and ($2::timestamptz is null or (created_at, id) > ($2, $3))
order by created_at, id limit $4
"""
ONE_SQL = f"select {_STORED} where id = $1 and kind = 'key' and id <> 'cli' for update"
REPLACE_SQL = """
with old as (
    update api_key set replaced_by = $2, expires_at = least(expires_at, $3) where id = $1
    returning coalesce(first_id, id) as first_id
)
update api_key k set first_id = old.first_id from old where k.id = $2
"""
END_SQL = "update api_key set expires_at = $2 where id = $1"
# By their dates too: who revokes a stolen key wants to know what is good now.
SUCCESSORS_SQL = """
with recursive successor as (
    select replaced_by as id from api_key where id = $1
    union select k.replaced_by from api_key k join successor s on k.id = s.id
)
select k.id from api_key k join successor s on k.id = s.id
where k.revoked_at is null and (k.expires_at is null or k.expires_at > $2)
order by k.created_at
"""
FIND_SQL = """
select k.id, k.secret_hash, k.scopes, k.kind, k.expires_at, k.revoked_at, k.user_id, k.first_id,
       u.role, u.disabled_at,
       coalesce(k.last_used_at, k.created_at) as seen_at,
       k.last_used_at is null or k.last_used_at < $2::timestamptz - interval '1 minute' as stale
from api_key k left join users u on u.id = k.user_id
where k.id = $1
"""
# Once a minute is enough to see whether a key is in use, and keeps the row out of hot updates.
TOUCH_SQL = """
update api_key set last_used_at = $2
where id = $1
  and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')
"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `text` is the only copy of the secret there will ever be."""

    id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """What is known about a key."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    user_id: int | None
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: a key and what it may do; `user_id` is the person it belongs to, if any.

    `limited`: only what concerns the accounts of that person may be shown. `person` is their public id.
    `signed_in`: the key is a session, made by signing in and not by another key.
    `client`: the same for whoever repeats a request, though they signed in anew or their key was rotated.
    """

    key_id: str
    scopes: frozenset[Scope]
    user_id: int | None = None
    limited: bool = False
    person: str = ""
    signed_in: bool = False
    client: str = ""
    expires_at: datetime | None = None

    @property
    def actor(self) -> str:
        """As it stands in the audit log and on updates: the person, or the key of a system."""
        return f"user:{self.person}" if self.person else f"key:{self.key_id}"

    def may(self, scope: Scope) -> bool:
        """Whether it has the scope."""
        return scope in self.scopes


async def create_key(
    conn: Connection,
    *,
    name: str,
    scopes: Collection[Scope],
    now: datetime,
    expires_at: datetime | None = None,
    user_id: int | None = None,
    actor: str = "cli",
) -> NewKey:
    """Make and store a key, of a person with `user_id`.

    ValueError without scopes or with an end that has passed.
    """
    if not scopes:
        raise ValueError(f"a key needs at least one scope of: {', '.join(Scope)}")
    if expires_at is not None and expires_at <= now:
        raise ValueError("the key would already have expired")
    granted = sorted(str(scope) for scope in scopes)
    async with conn.transaction():
        made = await _store(conn, name, granted, now=now, expires_at=expires_at, user_id=user_id)
        detail = {"scopes": granted}
        await note(conn, at=now, actor=actor, action="key.create", thing=made.id, detail=detail)
    return made


async def open_session(conn: Connection, user_id: int, *, now: datetime) -> NewKey:
    """A session of somebody who has proved who they are. The caller notes it."""
    ends = now + LONGEST_SESSION
    return await _store(
        conn, "session", [], now=now, expires_at=ends, user_id=user_id, kind="session"
    )


async def close_session(conn: Connection, key_id: str, *, now: datetime) -> None:
    """Sign out. What was made in the session, such as links to reports, stays."""
    await conn.execute(END_SQL, key_id, now)


async def rotate_key(
    conn: Connection,
    old: StoredKey,
    *,
    overlap: timedelta,
    now: datetime,
    person: int | None = None,
    actor: str = "cli",
) -> NewKey:
    """A new key in the place of one that is locked; the old one works for `overlap` yet.

    It lasts as long as the old one did. `person`: who gets to see it, if anybody whose name we know.
    Raises RefusedError: 403 for a key of another person, 409 for one that is over or replaced.
    """
    if old.user_id not in {None, person}:
        raise WebRefusedError("key-of-another")
    if old.revoked_at or old.replaced_by or (old.expires_at and old.expires_at <= now):
        raise conflict("key-over", "The key was revoked, has expired or was replaced already")
    ends = now + (old.expires_at - old.created_at) if old.expires_at else None
    async with conn.transaction():
        made = await _store(
            conn, old.name, old.scopes, now=now, expires_at=ends, user_id=old.user_id
        )
        await conn.execute(REPLACE_SQL, old.id, made.id, now + overlap)
        detail = {"replaced_by": made.id, "overlap_s": int(overlap.total_seconds())}
        await note(conn, at=now, actor=actor, action="key.rotate", thing=old.id, detail=detail)
    return made


async def revoke_key(conn: Connection, key_id: str, *, now: datetime, actor: str = "cli") -> bool:
    """End a key at once; False when there is none or it is revoked already."""
    async with conn.transaction():
        if await conn.fetchval(REVOKE_SQL, key_id, now) is None:
            return False
        await note(conn, at=now, actor=actor, action="key.revoke", thing=key_id)
        return True


async def successors_of(conn: Connection, key_id: str, *, now: datetime) -> list[str]:
    """The keys that came from this one by rotation, of it or of one that did, and are good."""
    return [row["id"] for row in await conn.fetch(SUCCESSORS_SQL, key_id, now)]


async def list_keys(
    conn: Connection,
    *,
    user_id: int | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int | None = None,
) -> list[StoredKey]:
    """Keys, oldest first: all of them, or those of one person."""
    at, key_id = after or (None, "")
    return [_stored(row) for row in await conn.fetch(LIST_SQL, user_id, at, key_id, limit)]


async def lock_key(conn: Connection, key_id: str) -> StoredKey | None:
    """One key, held until the transaction ends."""
    row = await conn.fetchrow(ONE_SQL, key_id)
    return _stored(row) if row else None


def _stored(row: Record) -> StoredKey:
    return StoredKey(**{**row, "scopes": tuple(row["scopes"])})


async def _store(
    conn: Connection,
    name: str,
    scopes: Sequence[str],
    *,
    now: datetime,
    expires_at: datetime | None,
    user_id: int | None,
    kind: str = "key",
) -> NewKey:
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    values = (key_id, _hash(secret), name, list(scopes), now, expires_at, user_id, kind)
    await conn.execute(CREATE_SQL, *values)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secret}")


async def admit(
    conn: Connection, authorization: str | None, *, now: datetime, signer: Signer
) -> Caller:
    """The caller behind an Authorization header, with what their role leaves of the key's scopes.

    Raises WebRefusedError (401). That a key is revoked or expired is told only to who holds its
    secret; to everybody else it is unknown.
    """
    key_id, secret = _parse(authorization)
    row = await conn.fetchrow(FIND_SQL, key_id, now)
    # Compared even when there is no row: the time taken must not tell which ids exist.
    stored = row["secret_hash"] if row else bytes(hashlib.sha256().digest_size)
    if not hmac.compare_digest(stored, _hash(secret)) or row is None:
        raise _refusal("key-unknown", "There is no such API key at this installation")
    _refuse_what_is_over(row, now)
    if row["stale"]:
        await conn.execute(TOUCH_SQL, key_id, now)
    return caller_of(row, signer)


def caller_of(row: Record, signer: Signer) -> Caller:
    """The caller whose key this is; a row as FIND_SQL has it."""
    signed_in = row["kind"] == "session"
    client = row["first_id"] or row["id"]
    if row["user_id"] is None:
        scopes = all_of(row["scopes"])
        return Caller(row["id"], scopes, client=client, expires_at=row["expires_at"])
    role, person = Role(row["role"]), signer.public_id(USER, row["user_id"])
    return Caller(
        row["id"],
        SCOPES_OF[role] if signed_in else granted(row["scopes"], role),
        user_id=row["user_id"],
        limited=is_limited(role),
        person=person,
        signed_in=signed_in,
        client=person if signed_in else client,
        expires_at=row["expires_at"],
    )


def _refuse_what_is_over(row: Record, now: datetime) -> None:
    key_id, expires_at, revoked = row["id"], row["expires_at"], row["revoked_at"] is not None
    expired = expires_at is not None and expires_at <= now
    if row["disabled_at"] is not None:
        raise _refusal("person-disabled", "The person to whom this belongs was disabled")
    if row["kind"] == "session":
        if revoked or expired or row["seen_at"] <= now - UNUSED_SESSION:
            raise _refusal("session-over", "The session has ended; sign in again")
    elif revoked:
        raise _refusal("key-revoked", f"The API key {key_id} was revoked")
    elif expired:
        raise _refusal("key-expired", f"The API key {key_id} expired at {expires_at:%F %TZ}")


def require(caller: Caller, scope: Scope) -> None:
    """Raises WebRefusedError (403) that names the scope the key lacks."""
    if not caller.may(scope):
        raise WebRefusedError(
            "missing-scope",
            f"This needs the scope {scope}, which {_who(caller)} does not have",
        )


def require_approval(caller: Caller) -> None:
    """What a person does about messages on their way takes the right to approve; of a system, to post.

    Raises WebRefusedError (403).
    """
    if caller.user_id is not None:
        require(caller, Scope.APPROVALS_WRITE)


def _who(caller: Caller) -> str:
    if caller.signed_in:
        return "your role"
    return f"the API key {caller.key_id}"


def _parse(authorization: str | None) -> tuple[str, str]:
    if not authorization:
        raise _refusal("key-missing", "Send Authorization: Bearer tidings_live_…")
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise _refusal("key-malformed", "The Authorization scheme must be Bearer")
    match = _KEY.fullmatch(text.strip())
    if match is None:
        raise _refusal("key-malformed", "A key looks like tidings_live_<12 hex>_<64 hex>")
    return match[1], match[2]


def _refusal(kind: str, detail: str) -> WebRefusedError:
    error = "" if kind == "key-missing" else ', error="invalid_token"'
    challenge = {"WWW-Authenticate": f'Bearer realm="tidings"{error}'}
    return WebRefusedError(kind, detail, headers=challenge)


def _hash(secret: str) -> bytes:
    # Plain SHA-256 suffices: the secret has 256 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).digest()
