"""People in the database: find, list, add, change; and that one admin always remains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.problem import conflict, invalid, not_found
from dispatcher.rules.roles import Role
from dispatcher.web.ids import USER
from dispatcher.web.people.models import UserIn, UserPatch, UserView

_FIELDS: Final = """
    u.id, u.email, u.name, u.role, u.password_hash, u.oidc_subject, u.created_at, u.disabled_at,
    array(select a.external_id from user_account o join account a on a.id = o.account_id
          where o.user_id = u.id order by 1) as account_ids
"""
BY_ID_SQL = f"select {_FIELDS} from users u where u.id = $1"
BY_EMAIL_SQL = f"select {_FIELDS} from users u where u.email = $1"
BY_SUBJECT_SQL = f"select {_FIELDS} from users u where u.oidc_subject = $1"
LIST_SQL = f"select {_FIELDS} from users u where u.id > $1 order by u.id limit $2"
LOCK_SQL = "select 1 from users where id = $1 for update"
ADD_SQL = """
insert into users (email, name, role, created_at, updated_at) values ($1, $2, $3, $4, $4)
on conflict (email) do nothing returning id
"""
CHANGE_SQL = """
update users set name = coalesce($2, name), role = coalesce($3, role), updated_at = $5,
    disabled_at = case when $4::boolean is null then disabled_at
                       when $4 then coalesce(disabled_at, $5::timestamptz) end
where id = $1
"""
NO_ACCOUNTS_SQL = "delete from user_account where user_id = $1"
ACCOUNTS_SQL = """
insert into user_account (user_id, account_id)
select $1, id from account where external_id = any($2::text[]) returning account_id
"""
# In the order of their numbers, so that two who take the last two admins away do not deadlock.
ADMINS_SQL = """
select id from users where role = 'admin' and disabled_at is null order by id for update
"""
HAS_ADMIN_SQL = "select exists(select from users where role = 'admin' and disabled_at is null)"
PASSWORD_SQL = "update users set password_hash = $2, updated_at = $3 where id = $1"  # noqa: S105 - no password
# Two people who sign in at once wait for nobody but themselves.
HOLD_SQL = "select 1 from users where id = $1 for no key update"
SUBJECT_SQL = """
update users set oidc_subject = $2, updated_at = $3
where id = $1 and (oidc_subject is null or oidc_subject = $2) returning id
"""
END_SESSIONS_SQL = """
update api_key set revoked_at = $2 where user_id = $1 and kind = 'session' and revoked_at is null
"""
END_LINKS_SQL = "delete from user_link where user_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who works here."""

    id: int
    email: str = field(repr=False)
    name: str = field(repr=False)
    role: Role
    password_hash: str | None = field(repr=False)
    oidc_subject: str | None = field(repr=False)
    account_ids: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None


async def by_id(conn: Connection, number: int) -> User:
    """Raises RefusedError (404)."""
    found = _user(await conn.fetchrow(BY_ID_SQL, number))
    if found is None:
        raise not_found("user")
    return found


async def by_email(conn: Connection, email: str) -> User | None:
    """`email` in lower case."""
    return _user(await conn.fetchrow(BY_EMAIL_SQL, email))


async def by_subject(conn: Connection, subject: str) -> User | None:
    """Whom the identity provider means."""
    return _user(await conn.fetchrow(BY_SUBJECT_SQL, subject))


async def list_users(conn: Connection, *, after: int, limit: int) -> list[User]:
    """In the order in which they came."""
    rows = await conn.fetch(LIST_SQL, after, limit)
    return [user for row in rows if (user := _user(row))]


async def add(conn: Connection, body: UserIn, *, now: datetime) -> User:
    """Raises RefusedError: 409 when the e-mail is taken, 422 for an account nobody knows."""
    number = await conn.fetchval(ADD_SQL, body.email, body.name, body.role, now)
    if number is None:
        raise conflict("user-exists", "Somebody with this e-mail works here already")
    await _set_accounts(conn, number, body.account_ids)
    return await by_id(conn, number)


async def lock(conn: Connection, number: int) -> User:
    """As they are, until the transaction ends. Raises RefusedError (404)."""
    # The admins first, always: who changes one of them may have to know that another remains.
    await conn.fetch(ADMINS_SQL)
    await conn.fetchval(LOCK_SQL, number)
    return await by_id(conn, number)


async def hold(conn: Connection, number: int) -> User:
    """As `lock`, for who changes nothing that an admin decides."""
    await conn.fetchval(HOLD_SQL, number)
    return await by_id(conn, number)


async def change(conn: Connection, user: User, body: UserPatch, *, now: datetime) -> User:
    """Change somebody who is locked; who is disabled is signed out everywhere and their link is over.

    Raises RefusedError: 409 when nobody would be left to administer, 422 for an account nobody knows.
    """
    await conn.execute(CHANGE_SQL, user.id, body.name, body.role, body.disabled, now)
    if body.account_ids is not None:
        await conn.execute(NO_ACCOUNTS_SQL, user.id)
        await _set_accounts(conn, user.id, body.account_ids)
    if body.disabled:
        await end_sessions(conn, user.id, now=now)
        await end_links(conn, user.id)
    was_admin = user.role is Role.ADMIN and user.disabled_at is None
    if was_admin and not await has_admin(conn):
        raise conflict("last-admin", "Nobody would be left who may administer this installation")
    return await by_id(conn, user.id)


async def has_admin(conn: Connection) -> bool:
    """Whether anybody may administer this installation."""
    return bool(await conn.fetchval(HAS_ADMIN_SQL))


async def set_password(conn: Connection, number: int, password_hash: str, *, now: datetime) -> None:
    """A new password; whoever is signed in with the old one is no more."""
    await conn.execute(PASSWORD_SQL, number, password_hash, now)
    await end_sessions(conn, number, now=now)


async def bind(conn: Connection, number: int, subject: str, *, now: datetime) -> bool:
    """From now on the identity provider means this person; False when it means them by another name."""
    return await conn.fetchval(SUBJECT_SQL, number, subject, now) is not None


async def rehash(conn: Connection, number: int, password_hash: str, *, now: datetime) -> None:
    """The same password, stored with more effort: everybody stays signed in."""
    await conn.execute(PASSWORD_SQL, number, password_hash, now)


async def end_sessions(conn: Connection, number: int, *, now: datetime) -> None:
    """Sign somebody out everywhere; links made in those sessions end as well."""
    await conn.execute(END_SESSIONS_SQL, number, now)


async def end_links(conn: Connection, number: int) -> None:
    """No link sets this person's password any more."""
    await conn.execute(END_LINKS_SQL, number)


def user_view(ctx: Context, user: User) -> UserView:
    """As the API shows them."""
    return UserView(
        id=ctx.signer.public_id(USER, user.id),
        email=user.email,
        name=user.name,
        role=user.role,
        disabled=user.disabled_at is not None,
        has_password=user.password_hash is not None,
        signs_in_by_oidc=user.oidc_subject is not None,
        account_ids=list(user.account_ids),
        created_at=user.created_at,
    )


async def _set_accounts(conn: Connection, number: int, external_ids: Sequence[str]) -> None:
    wanted = set(external_ids)
    if wanted and len(await conn.fetch(ACCOUNTS_SQL, number, list(wanted))) < len(wanted):
        raise invalid("/account_ids", "unknown_account", "One of these accounts is not known here")


def _user(row: asyncpg.Record | None) -> User | None:
    if row is None:
        return None
    return User(
        **{**row, "role": Role(row["role"]), "account_ids": tuple(row["account_ids"])},
    )
