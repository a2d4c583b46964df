"""`/v1/users` and `tidings users`: invite, look at, change. Nobody is deleted: the audit log names them."""

from collections.abc import Callable

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.web.answers import Reply
from dispatcher.web.etags import require_match
from dispatcher.web.ids import USER, number_of
from dispatcher.web.lists import PageQuery, page_reply, position
from dispatcher.web.people import store
from dispatcher.web.people.links import make_link
from dispatcher.web.people.models import (
    Invited,
    PasswordLink,
    UserIn,
    UserPage,
    UserPatch,
    UserView,
)
from dispatcher.web.people.store import user_view
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain


async def list_all(call: Call[None, PageQuery]) -> Reply:
    """In the order in which they came."""
    after = position(call.query, (int,))
    async with call.connection() as conn:
        found = await store.list_users(
            conn, after=after[0] if after else 0, limit=call.query.limit + 1
        )
    views = [user_view(call.ctx, user) for user in found]
    return page_reply(call, views, [(user.id,) for user in found], UserPage)


async def get_user(call: Plain) -> Reply:
    """One person."""
    number = number_of(call.ctx, USER, call.path("user_id"))
    async with call.connection() as conn:
        return Reply(user_view(call.ctx, await store.by_id(conn, number)))


async def post_user(call: Call[UserIn, NoQuery]) -> Reply:
    """Invite somebody; the link is in this answer and nowhere else."""
    made = await create_user(call.ctx, call.body, actor=call.actor)
    return Reply(made, 201, {"Location": f"/v1/users/{made.id}"})


async def patch_user(call: Call[UserPatch, NoQuery]) -> Reply:
    """Change role, name, accounts; disable or enable."""

    def check(seen: UserView) -> None:
        require_match(call.request, seen)

    number = number_of(call.ctx, USER, call.path("user_id"))
    return Reply(await change_user(call.ctx, number, call.body, actor=call.actor, check=check))


async def post_link(call: Plain) -> Reply:
    """A new link for somebody, in the place of the old one; it is in this answer and nowhere else."""
    number = number_of(call.ctx, USER, call.path("user_id"))
    return Reply(await link_user(call.ctx, number, actor=call.actor), 201)


async def create_user(ctx: Context, body: UserIn, *, actor: str) -> Invited:
    """Somebody new, and their link. Raises RefusedError: 409 when the e-mail is taken."""

    async def work(conn: Connection) -> Invited:
        now = ctx.now()
        view = user_view(ctx, user := await store.add(conn, body, now=now))
        detail = {"role": user.role, "accounts": len(user.account_ids)}
        await note(conn, at=now, actor=actor, action="user.create", thing=view.id, detail=detail)
        link = await make_link(conn, ctx, user, now=now, actor=actor)
        return Invited(**view.model_dump(), link=link)

    return await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)


async def change_user(
    ctx: Context,
    number: int,
    body: UserPatch,
    *,
    actor: str,
    check: Callable[[UserView], None] = lambda _: None,
) -> UserView:
    """Change what is given, once `check` has seen how they are now.

    Raises RefusedError: 404, 409 for the last admin, 422 for an account nobody knows.
    """

    async def work(conn: Connection) -> UserView:
        now = ctx.now()
        before = await store.lock(conn, number)
        check(seen := user_view(ctx, before))
        view = user_view(ctx, await store.change(conn, before, body, now=now))
        if view != seen:
            detail = _changes(seen, view)
            await note(
                conn, at=now, actor=actor, action="user.change", thing=view.id, detail=detail
            )
        return view

    return await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)


async def link_user(ctx: Context, number: int, *, actor: str) -> PasswordLink:
    """A link for somebody there is. Raises RefusedError."""

    async def work(conn: Connection) -> PasswordLink:
        user = await store.lock(conn, number)
        return await make_link(conn, ctx, user, now=ctx.now(), actor=actor)

    return await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)


def _changes(before: UserView, after: UserView) -> dict[str, object]:
    """What the audit log keeps: names are personal, so only that they changed."""
    changes: dict[str, object] = {
        name: [getattr(before, name), getattr(after, name)]
        for name in ("role", "disabled", "account_ids")
        if getattr(before, name) != getattr(after, name)
    }
    if before.name != after.name:
        changes["name"] = "changed"
    return changes
