"""The log of an endpoint, sending one of it again, and the test button."""

from functools import partial

from dispatcher.announce import EventType
from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import not_found
from dispatcher.seal import BrokenSealError
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks import Endpoint, Held, Logged, Message
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.ids import WEBHOOK_DELIVERY, number_of
from dispatcher.web.lists import page_reply, position
from dispatcher.web.routing import Call, Plain
from dispatcher.web.webhooks.endpoints import found
from dispatcher.web.webhooks.models import (
    LogQuery,
    WebhookDelivery,
    WebhookDeliveryPage,
    WebhookTested,
)


async def list_log(call: Call[None, LogQuery]) -> Reply:
    """Newest first, with every attempt."""
    before = position(call.query, (int,))
    async with call.connection() as conn:
        endpoint = await found(conn, call.ctx, call.path("webhook_id"))
        rows = await webhooks.list_log(
            conn,
            endpoint.id,
            before=before[0] if before else None,
            state=call.query.state,
            limit=call.query.limit + 1,
        )
    views = [delivery_view(call.ctx, row) for row in rows]
    return page_reply(call, views, [(row.id,) for row in rows], WebhookDeliveryPage)


async def post_resend(call: Plain) -> Reply:
    """Send a message once more, with the same `webhook-id`; it goes out with what is due next."""
    view = await resend(
        call.ctx, call.path("webhook_id"), call.path("delivery_id"), actor=call.actor
    )
    return Reply(view, 202)


async def post_test(call: Plain) -> Reply:
    """Send a signed `webhook.test` now, also where the endpoint is disabled, and say what came back."""
    return Reply(await test_webhook(call.ctx, call.path("webhook_id"), actor=call.actor))


async def resend(ctx: Context, public: str, delivery: str, *, actor: str) -> WebhookDelivery:
    """Have a message sent once more. Raises RefusedError: 404, or 409 where nothing is told."""

    async def work(conn: Connection) -> WebhookDelivery:
        endpoint = await found(conn, ctx, public, lock=True)
        if endpoint.disabled_at is not None:
            raise WebRefusedError("webhook-disabled")
        number = number_of(ctx, WEBHOOK_DELIVERY, delivery)
        now = ctx.now()
        await webhooks.resend(conn, endpoint.id, number, now=now)
        logged = await webhooks.find_logged(conn, endpoint.id, number)
        if logged is None:
            raise not_found("webhook delivery")
        detail = {"delivery": delivery}
        await note(conn, at=now, actor=actor, action="webhook.resend", thing=public, detail=detail)
        return delivery_view(ctx, logged)

    return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def test_webhook(ctx: Context, public: str, *, actor: str) -> WebhookTested:
    """Send a test and wait for its end. Raises RefusedError: 404, or 503 where it cannot be signed."""

    async def begin(conn: Connection) -> Held:
        endpoint = await found(conn, ctx, public)
        held = await _open(conn, ctx, endpoint)
        await note(conn, at=ctx.now(), actor=actor, action="webhook.test", thing=public)
        return held

    held = await in_transaction(ctx.pool, begin, rng=ctx.rng)
    async with webhooks.outgoing(ctx.settings.webhooks) as session:
        outcome = await webhooks.send(ctx, session, held.message)
    await in_transaction(ctx.pool, partial(webhooks.record, ctx, held, outcome), rng=ctx.rng)
    return WebhookTested(
        delivered=outcome.is_success,
        delivery_id=ctx.signer.public_id(WEBHOOK_DELIVERY, held.id),
        message_id=ctx.signer.public_id(webhooks.MESSAGE, held.message.event_id),
        status=outcome.status,
        ms=outcome.ms,
        error=outcome.trouble,
        excerpt=outcome.excerpt,
    )


async def _open(conn: Connection, ctx: Context, endpoint: Endpoint) -> Held:
    now = ctx.now()
    try:
        secrets = await webhooks.secrets_of(conn, ctx, endpoint.id, now=now)
    except BrokenSealError:
        raise WebRefusedError("webhook-unreadable") from None
    lease = webhooks.lease_s(ctx)
    number, event, data = await webhooks.open_test(conn, endpoint.id, lease_s=lease, now=now)
    message = Message(event, EventType.WEBHOOK_TEST, data, now, endpoint.url, secrets)
    return Held(number, 1, endpoint.id, message)


def delivery_view(ctx: Context, logged: Logged) -> WebhookDelivery:
    """As the API shows it."""
    return WebhookDelivery(
        id=ctx.signer.public_id(WEBHOOK_DELIVERY, logged.id),
        message_id=ctx.signer.public_id(webhooks.MESSAGE, logged.event_id),
        type=logged.type,
        at=logged.at,
        state=logged.state,
        due_at=logged.due_at if logged.state == "waiting" else None,
        ended_at=logged.ended_at,
        attempts=logged.log,
    )
