"""One-time links: whoever holds one sets the password, once, within a day. Only their hashes are stored."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import conflict
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.ids import USER
from dispatcher.web.limits import client_address
from dispatcher.web.people import brake, passwords, store
from dispatcher.web.people.models import InvitationIn, PasswordLink, UserView
from dispatcher.web.people.store import User
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call

VALID_FOR: Final = timedelta(hours=24)

ADD_SQL = "insert into user_link (token_hash, user_id, created_at, ends_at) values ($1, $2, $3, $4)"
FIND_SQL = """
select l.user_id from user_link l join users u on u.id = l.user_id
where l.token_hash = $1 and l.used_at is null and l.ends_at > $2 and u.disabled_at is null
"""
USE_SQL = """
update user_link set used_at = $2 where token_hash = $1 and used_at is null and ends_at > $2
returning user_id
"""


async def make_link(
    conn: Connection, ctx: Context, user: User, *, now: datetime, actor: str
) -> PasswordLink:
    """A link in the place of those there were. Raises RefusedError for somebody who is disabled."""
    if user.disabled_at is not None:
        raise conflict("user-disabled", "A link would let nobody in: enable the person first")
    token, ends_at = secrets.token_urlsafe(32), now + VALID_FOR
    await store.end_links(conn, user.id)
    await conn.execute(ADD_SQL, _hash(token), user.id, now, ends_at)
    public = ctx.signer.public_id(USER, user.id)
    await note(conn, at=now, actor=actor, action="user.link", thing=public)
    return PasswordLink(
        url=f"{ctx.settings.public_url}/v1/invitations", token=token, expires_at=ends_at
    )


async def post_invitation(call: Call[InvitationIn, NoQuery]) -> Reply:
    """Set the password; whoever was signed in as this person is no more."""
    ctx, body = call.ctx, call.body
    token_hash = _hash(body.token.get_secret_value())
    password = body.password.get_secret_value()
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        found = await conn.fetchval(FIND_SQL, token_hash, ctx.now())
        if found is None:
            raise WebRefusedError("link-over")
        user = await store.by_id(conn, found)
    passwords.refuse_weak(
        password, pointer="/password", email=user.email, brand=ctx.settings.brand.name
    )
    with passwords.place(known=True):
        password_hash = await passwords.hashed(password)
    attempt = brake.attempt_of(ctx, email=user.email, address=client_address(call.request))

    async def work(conn: Connection) -> UserView:
        now = ctx.now()
        held = await store.hold(conn, user.id)
        # Looked up again: two may have come with it while the hash was made.
        if held.disabled_at or await conn.fetchval(USE_SQL, token_hash, now) is None:
            raise WebRefusedError("link-over")
        await store.set_password(conn, user.id, password_hash, now=now)
        await brake.reopen(conn, attempt, now=now)
        public = ctx.signer.public_id(USER, user.id)
        actor = f"user:{public}"
        await note(conn, at=now, actor=actor, action="user.password", thing=public)
        return store.user_view(ctx, await store.by_id(conn, user.id))

    return Reply(await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S))


def _hash(token: str) -> bytes:
    # 256 random bits: nothing to guess, so nothing to make slow.
    return hashlib.sha256(token.encode()).digest()
