"""Sign in with e-mail and password, who am I, sign out, change the password."""

import math
from datetime import datetime
from typing import Final

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.customer_models import Stored
from dispatcher.web.ids import USER
from dispatcher.web.keys import LONGEST_SESSION, close_session, open_session
from dispatcher.web.limits import client_address
from dispatcher.web.people import brake, passwords, store
from dispatcher.web.people.brake import Attempt
from dispatcher.web.people.models import Me, PasswordIn, Session, SignIn
from dispatcher.web.people.store import User, user_view
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain

UNKNOWN: Final = "user:unknown"
"""In the audit log, whoever came with an e-mail that nobody here has: it is not kept."""
NOBODY: Final = "nobody"
_REFUSED: Final = "session.refuse"
_LOCKED: Final = "session.lock"


async def post_session(call: Call[SignIn, NoQuery]) -> Reply:
    """Sign in. What is unknown takes as long to refuse as what is wrong, in the same words."""
    ctx, body = call.ctx, call.body
    password = body.password.get_secret_value()
    attempt = brake.attempt_of(ctx, email=body.email, address=client_address(call.request))
    user, known = await _proven(ctx, attempt, body.email, password)
    better = None
    if passwords.is_outdated(user.password_hash or ""):
        better = await passwords.hashed(password)

    async def work(conn: Connection) -> Session:
        now = ctx.now()
        await _refuse_changed(conn, user)
        await brake.release(conn, attempt, known=known, now=now)
        if better is not None:
            await store.rehash(conn, user.id, better, now=now)
        return await enter(conn, ctx, user, now=now, by="password")

    session = await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(session, 201)


async def get_me(call: Plain) -> Reply:
    """Who is calling, and what they may."""
    caller, view = call.caller, None
    if caller.user_id is not None:
        # Not call.connection(): who is limited to some accounts may still see themselves.
        async with call.ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
            view = user_view(call.ctx, await store.by_id(conn, caller.user_id))
    return Reply(
        Me(
            kind="session" if caller.signed_in else "key",
            key_id=caller.key_id,
            user=view,
            scopes=sorted(caller.scopes),
            limited=caller.limited,
            expires_at=caller.expires_at,
        )
    )


async def delete_session(call: Plain) -> Reply:
    """Sign out of this session."""
    ctx, caller = call.ctx, call.caller
    if not caller.signed_in:
        raise WebRefusedError("signed-in-only")

    async def work(conn: Connection) -> None:
        now = ctx.now()
        await close_session(conn, caller.key_id, now=now)
        await note(conn, at=now, actor=call.actor, action="session.end", thing=caller.person)

    await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(Stored(result="removed"))


async def post_password(call: Call[PasswordIn, NoQuery]) -> Reply:
    """Change one's own password; every session and link of theirs ends, this session too."""
    ctx, body, caller = call.ctx, call.body, call.caller
    if not caller.signed_in or caller.user_id is None:
        raise WebRefusedError("signed-in-only")
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        email = (await store.by_id(conn, caller.user_id)).email
    new = body.new.get_secret_value()
    # First of all: a weak one must not count as a failure to prove the old one.
    passwords.refuse_weak(new, pointer="/new", email=email, brand=ctx.settings.brand.name)
    attempt = brake.attempt_of(ctx, email=email, address=client_address(call.request))
    user, known = await _proven(ctx, attempt, email, body.old.get_secret_value())
    password_hash = await passwords.hashed(new)

    async def work(conn: Connection) -> None:
        now = ctx.now()
        await _refuse_changed(conn, user)
        await store.set_password(conn, user.id, password_hash, now=now)
        await store.end_links(conn, user.id)
        await brake.release(conn, attempt, known=known, now=now)
        await note(conn, at=now, actor=call.actor, action="user.password", thing=caller.person)

    await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(Stored(result="updated"))


async def enter(conn: Connection, ctx: Context, user: User, *, now: datetime, by: str) -> Session:
    """A session for somebody who has proved who they are, `by` what."""
    made = await open_session(conn, user.id, now=now)
    view = user_view(ctx, user)
    actor, detail = f"user:{view.id}", {"by": by}
    await note(conn, at=now, actor=actor, action="session.begin", thing=view.id, detail=detail)
    return Session(token=made.text, expires_at=now + LONGEST_SESSION, user=view)


async def note_refusal(
    ctx: Context, user: User | None, why: str, *, action: str = _REFUSED
) -> None:
    """Leave in the audit log that somebody was not let in; who, if anybody here is meant."""
    who = ctx.signer.public_id(USER, user.id) if user else UNKNOWN
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        at, detail = ctx.now(), {"why": why}
        await note(conn, at=at, actor=NOBODY, action=action, thing=who, detail=detail)


async def _proven(ctx: Context, attempt: Attempt, email: str, password: str) -> tuple[User, bool]:
    """Whose e-mail and password these are, and whether they were let in from there lately.

    Raises WebRefusedError: 401 when nobody's, or when they are disabled; 429 when it was tried too often.
    """
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        known = await brake.is_known(conn, attempt, now=ctx.now())
        user = await store.by_email(conn, email)
    with passwords.place(known=known):
        failed = await _counted(ctx, attempt, known=known)
        fitting = await passwords.fits(password, user.password_hash if user else None)
    if not fitting or user is None:
        locks = failed >= brake.BY_PAIR.free
        await note_refusal(ctx, user, "password", action=_LOCKED if locks else _REFUSED)
        raise WebRefusedError("wrong-credentials")
    if user.disabled_at is not None:
        await note_refusal(ctx, user, "disabled")
        raise WebRefusedError("person-disabled")
    return user, known


async def _counted(ctx: Context, attempt: Attempt, *, known: bool) -> int:
    """The attempt as one that failed, until it has not. Raises WebRefusedError (429) where one has to wait."""
    try:
        return await brake.begin(ctx, attempt, known=known)
    except brake.ClosedError as closed:
        wait_s = max(math.ceil((closed.until - ctx.now()).total_seconds()), 1)
        raise WebRefusedError("too-many-attempts", headers={"Retry-After": str(wait_s)}) from None


async def _refuse_changed(conn: Connection, user: User) -> None:
    """Hold the person, whose proof was looked at outside this transaction. Raises WebRefusedError."""
    held = await store.hold(conn, user.id)
    if held.disabled_at is not None or held.password_hash != user.password_hash:
        raise WebRefusedError("wrong-credentials")
