"""`/v1/keys`: people make keys for themselves, admins for systems; each is shown once."""

from datetime import UTC, datetime, timedelta

from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import FieldProblem, not_found
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.ids import USER
from dispatcher.web.keys import (
    Caller,
    NewKey,
    StoredKey,
    create_key,
    list_keys,
    lock_key,
    require,
    revoke_key,
    rotate_key,
    successors_of,
)
from dispatcher.web.lists import PageQuery, bad_cursor, page_reply, position
from dispatcher.web.people.models import KeyIn, KeyMade, KeyPage, KeyRevoked, KeyRotateIn, KeyView
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain
from dispatcher.web.scopes import Scope


async def list_all(call: Call[None, PageQuery]) -> Reply:
    """One's own; all of them for an admin."""
    caller = call.caller
    if caller.user_id is None:
        require(caller, Scope.ADMIN)
    mine = None if caller.may(Scope.ADMIN) else caller.user_id
    # Not call.connection(): who is limited to some accounts may still see their own keys.
    async with call.ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        rows = await list_keys(
            conn, user_id=mine, after=_after(call.query), limit=call.query.limit + 1
        )
    views = [key_view(call.ctx, row) for row in rows]
    cursors = [(row.created_at.isoformat(), row.id) for row in rows]
    return page_reply(call, views, cursors, KeyPage)


async def post_key(call: Call[KeyIn, NoQuery]) -> Reply:
    """Make a key; it may at most what its maker may."""
    ctx, caller, body = call.ctx, call.caller, call.body
    owner = _owner(caller, body)
    scopes = {Scope(name) for name in body.scopes}
    for scope in sorted(scopes):
        require(caller, scope)

    async def work(conn: Connection) -> KeyMade:
        now = ctx.now()
        days = body.expires_in_days
        made = await create_key(
            conn,
            name=body.name,
            scopes=scopes,
            now=now,
            expires_at=now + timedelta(days=days) if days else None,
            user_id=owner,
            actor=call.actor,
        )
        return await made_view(conn, ctx, made)

    made = await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(made, 201)


async def post_rotate(call: Call[KeyRotateIn, NoQuery]) -> Reply:
    """A new key like it; the old one works for the overlap yet."""
    ctx, overlap = call.ctx, timedelta(hours=call.body.overlap_hours)

    async def work(conn: Connection) -> KeyMade:
        old = await _reachable(conn, call.caller, call.path("key_id"))
        made = await rotate_key(
            conn,
            old,
            overlap=overlap,
            now=ctx.now(),
            person=call.caller.user_id,
            actor=call.actor,
        )
        return await made_view(conn, ctx, made)

    made = await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    return Reply(made, 201)


async def delete_key(call: Plain) -> Reply:
    """End a key at once; ended already, it stays so. What it was replaced by goes on, and is named."""
    ctx = call.ctx

    async def work(conn: Connection) -> KeyRevoked:
        now = ctx.now()
        key = await _reachable(conn, call.caller, call.path("key_id"))
        revoked = await revoke_key(conn, key.id, now=now, actor=call.actor)
        successors = await successors_of(conn, key.id, now=now)
        return KeyRevoked(result="removed" if revoked else "unchanged", successors=successors)

    return Reply(await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S))


def key_view(ctx: Context, key: StoredKey) -> KeyView:
    """As the API shows it."""
    return KeyView(
        id=key.id,
        name=key.name,
        user_id=ctx.signer.public_id(USER, key.user_id) if key.user_id is not None else None,
        scopes=list(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        replaced_by=key.replaced_by,
    )


async def made_view(conn: Connection, ctx: Context, made: NewKey) -> KeyMade:
    """A key just made, with its text."""
    stored = await lock_key(conn, made.id)
    if stored is None:
        raise not_found("key")
    return KeyMade(**key_view(ctx, stored).model_dump(), key=made.text)


def _owner(caller: Caller, body: KeyIn) -> int | None:
    """The person to whom it shall belong; None for a system, which takes an admin.

    A person's key makes no further keys, unless it may administer: it would outlive its own end.
    """
    mine = body.owner == "me" or (body.owner is None and caller.user_id is not None)
    if not mine:
        require(caller, Scope.ADMIN)
        return None
    if caller.user_id is None:
        detail = "The key that calls belongs to a system"
        raise WebRefusedError(
            "invalid-request", problems=[FieldProblem("/owner", "nobody", detail)]
        )
    if not caller.signed_in and not caller.may(Scope.ADMIN):
        raise WebRefusedError("signed-in-only")
    return caller.user_id


async def _reachable(conn: Connection, caller: Caller, key_id: str) -> StoredKey:
    """A key that the caller may end or replace: their own, or as an admin any. Raises RefusedError.

    A key may replace and end itself, so that a system can change its own key.
    """
    key = await lock_key(conn, key_id)
    theirs = key is not None and (
        key.id == caller.key_id
        or (caller.signed_in and key.user_id == caller.user_id)
        or caller.may(Scope.ADMIN)
    )
    if key is None or not theirs:
        raise not_found("key")
    return key


def _after(query: PageQuery) -> tuple[datetime, str] | None:
    found = position(query, (str, str))
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[0]).astimezone(UTC), found[1]
    except (ValueError, OverflowError):
        raise bad_cursor() from None
