"""`/v1/webhooks`: make, look at, change, rotate, stop and remove endpoints that are told."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from yarl import URL

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import not_found
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks import Endpoint
from dispatcher.web.answers import Reply
from dispatcher.web.customer_models import Stored
from dispatcher.web.etags import IfMatch, if_match
from dispatcher.web.ids import WEBHOOK, number_of
from dispatcher.web.lists import PageQuery, page_reply, position
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Call, Plain
from dispatcher.web.webhooks.models import (
    RotateWebhookIn,
    WebhookIn,
    WebhookPage,
    WebhookPatch,
    WebhookView,
    WebhookWithSecret,
)


async def post_webhook(call: Call[WebhookIn, NoQuery]) -> Reply:
    """Make an endpoint; its secret is in this answer and nowhere else."""
    made = await create_webhook(call.ctx, call.body, actor=call.actor)
    return Reply(made, 201, {"Location": f"/v1/webhooks/{made.id}"})


async def list_all(call: Call[None, PageQuery]) -> Reply:
    """In the order in which they were made."""
    after = position(call.query, (int,))
    async with call.connection() as conn:
        rows = await webhooks.list_endpoints(
            conn, after=after[0] if after else None, limit=call.query.limit + 1
        )
    views = [webhook_view(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row.id,) for row in rows], WebhookPage)


async def get_webhook(call: Plain) -> Reply:
    """One endpoint."""
    async with call.connection() as conn:
        return Reply(webhook_view(call.ctx, await found(conn, call.ctx, call.path("webhook_id"))))


async def patch_webhook(call: Call[WebhookPatch, NoQuery]) -> Reply:
    """Change where it is, what it is told, or how it is described; the secret stays."""
    view = await change_webhook(
        call.ctx,
        call.path("webhook_id"),
        call.body,
        seen=if_match(call.request),
        actor=call.actor,
    )
    return Reply(view)


async def delete_webhook(call: Plain) -> Reply:
    """Forget an endpoint and its log; what waits for it is told nobody."""
    await remove_webhook(call.ctx, call.path("webhook_id"), actor=call.actor)
    return Reply(Stored(result="removed"))


async def post_rotate(call: Call[RotateWebhookIn, NoQuery]) -> Reply:
    """A new secret; it is in this answer and nowhere else."""
    made = await rotate_webhook(call.ctx, call.path("webhook_id"), call.body, actor=call.actor)
    return Reply(made)


async def post_enable(call: Plain) -> Reply:
    """Tell it again, at once what waited for it. Nothing changes where it is told already."""
    return Reply(await enable_webhook(call.ctx, call.path("webhook_id"), actor=call.actor))


async def post_disable(call: Plain) -> Reply:
    """Tell it nothing; what happens meanwhile it is never told."""
    return Reply(await disable_webhook(call.ctx, call.path("webhook_id"), actor=call.actor))


async def create_webhook(ctx: Context, body: WebhookIn, *, actor: str) -> WebhookWithSecret:
    """Make an endpoint. Raises RefusedError for an address that may not be called."""

    async def work(conn: Connection) -> WebhookWithSecret:
        now = ctx.now()
        endpoint, secret = await webhooks.create(
            conn,
            ctx,
            url=body.url,
            events=body.events,
            description=body.description,
            actor=actor,
            now=now,
        )
        view = webhook_view(ctx, endpoint)
        detail = {"host": URL(view.url).host, "events": view.events}
        await note(conn, at=now, actor=actor, action="webhook.create", thing=view.id, detail=detail)
        return WebhookWithSecret(**view.model_dump(), secret=secret)

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def change_webhook(
    ctx: Context, public: str, body: WebhookPatch, *, seen: IfMatch, actor: str
) -> WebhookView:
    """Change what is given. Raises RefusedError: a wrong field, or not the version that was `seen`."""

    async def work(conn: Connection, before: Endpoint) -> Endpoint:
        seen.require(webhook_view(ctx, before))
        changes = body.model_dump(exclude_none=True)
        return await webhooks.change(
            conn,
            ctx,
            before.id,
            url=changes.get("url", before.url),
            events=changes.get("events", before.events),
            description=changes.get("description", before.description),
        )

    return await _write(ctx, public, "change", work, actor=actor)


async def remove_webhook(ctx: Context, public: str, *, actor: str) -> None:
    """Forget an endpoint. Raises RefusedError (404).

    Disabled first, for good: who tells leaves out one that is just being removed, see `announce`, and if
    that does not come about, nothing is missing that it should have been told.
    """

    async def work(conn: Connection, before: Endpoint) -> Endpoint:
        await webhooks.remove(conn, before.id)
        return before

    await disable_webhook(ctx, public, actor=actor)
    await _write(ctx, public, "remove", work, actor=actor)


async def enable_webhook(ctx: Context, public: str, *, actor: str) -> WebhookView:
    """Tell an endpoint again. Raises RefusedError (404)."""

    async def work(conn: Connection, before: Endpoint) -> Endpoint:
        return await webhooks.enable(conn, before.id, now=ctx.now()) or before

    return await _write(ctx, public, "enable", work, actor=actor)


async def disable_webhook(ctx: Context, public: str, *, actor: str) -> WebhookView:
    """Tell an endpoint nothing. Raises RefusedError (404)."""

    async def work(conn: Connection, before: Endpoint) -> Endpoint:
        return await webhooks.disable(conn, before.id, why="person", now=ctx.now()) or before

    return await _write(ctx, public, "disable", work, actor=actor)


async def rotate_webhook(
    ctx: Context, public: str, body: RotateWebhookIn, *, actor: str
) -> WebhookWithSecret:
    """A new secret for an endpoint. Raises RefusedError (404)."""
    made: list[str] = []

    async def work(conn: Connection, before: Endpoint) -> Endpoint:
        overlap = timedelta(hours=body.overlap_hours)
        made[:] = [await webhooks.rotate(conn, ctx, before.id, overlap=overlap, now=ctx.now())]
        return before

    view = await _write(ctx, public, "rotate", work, actor=actor)
    return WebhookWithSecret(**view.model_dump(), secret=made[0])


async def _write(
    ctx: Context,
    public: str,
    action: str,
    work: Callable[[Connection, Endpoint], Awaitable[Endpoint]],
    *,
    actor: str,
) -> WebhookView:
    """`work` on an endpoint that nobody else changes meanwhile, and a line in the audit log."""

    async def write(conn: Connection) -> WebhookView:
        before = await found(conn, ctx, public, lock=True)
        view = webhook_view(ctx, await work(conn, before))
        now = ctx.now()
        await note(conn, at=now, actor=actor, action=f"webhook.{action}", thing=public)
        return view

    return await in_transaction(ctx.pool, write, rng=ctx.rng)


async def found(conn: Connection, ctx: Context, public: str, *, lock: bool = False) -> Endpoint:
    """The endpoint of this id. Raises RefusedError (404)."""
    endpoint = await webhooks.find(conn, number_of(ctx, WEBHOOK, public), lock=lock)
    if endpoint is None:
        raise not_found("webhook")
    return endpoint


def webhook_view(ctx: Context, endpoint: Endpoint) -> WebhookView:
    """As the API shows it."""
    return WebhookView(
        id=webhooks.public_id(ctx, endpoint.id),
        url=endpoint.url,
        events=list(endpoint.events),
        description=endpoint.description,
        created_at=endpoint.created_at,
        created_by=endpoint.created_by,
        disabled=endpoint.disabled_why or None,
        disabled_at=endpoint.disabled_at,
        failing_since=endpoint.failing_since,
    )
