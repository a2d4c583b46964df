"""One turn for one endpoint: claim what is due, send it, write down what came of it.

At least once, in no promised order: who dies between the answer and the record sends it again, with the
same `webhook-id`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import aiohttp
import asyncpg
import structlog
from pydantic import ValidationError
from yarl import URL

from dispatcher.announce import EventType
from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.metrics import WEBHOOK_ATTEMPTS, WEBHOOKS_DISABLED
from dispatcher.seal import BrokenSealError
from dispatcher.stages.webhooks.endpoints import Endpoint, Why, disable, find, secrets_of
from dispatcher.stages.webhooks.log import Try
from dispatcher.stages.webhooks.message import Message, written
from dispatcher.stages.webhooks.outgoing import AttemptError, Outcome, outgoing, post
from dispatcher.stages.webhooks.retries import GIVE_UP_AFTER, next_try
from dispatcher.stages.webhooks.strain import note_strain, pause_of, strains

log = structlog.get_logger(__name__)

T = TypeVar("T")

AT_ONCE: Final = 4
"""Messages under way to one endpoint, however many workers there are."""
_TURN_S: Final = 8.0
"""And until a receiver has answered: no longer than a worker that stops waits for what is in flight."""
ENDPOINT: Final = "whk"
"""Kind of an endpoint's public id."""

CLAIM_SQL = """
with due as (
    select o.id from webhook_delivery o join webhook_event k on k.id = o.event_id and k.type = any($5::text[])
    where o.endpoint_id = $1 and o.state = 'waiting' and o.due_at <= $2
      and $3 > (select count(*) from webhook_delivery
                where endpoint_id = $1 and state = 'sending' and lease_until >= clock_timestamp())
    order by o.due_at, o.id limit 1
    for update of o skip locked
)
update webhook_delivery d set state = 'sending', attempt = d.attempt + 1,
       lease_until = clock_timestamp() + make_interval(secs => $4)
from due, webhook_event e where d.id = due.id and e.id = d.event_id
returning d.id, d.attempt, d.event_id, e.type, e.data, e.at
"""
# Its worker ended, or failed, before it wrote down what came of it. What this version cannot read is left
# to one that can.
LOST_SQL = """
select d.id, d.attempt, d.event_id, e.type, e.data, e.at
from webhook_delivery d join webhook_event e on e.id = d.event_id
where d.endpoint_id = $1 and d.state = 'sending' and d.lease_until < clock_timestamp()
  and e.type = any($2::text[])
order by d.id for update of d
"""
# Whoever claimed it last writes: a late worker may have sent it, and its word does not count.
RECORD_SQL = """
update webhook_delivery set state = $3, due_at = $4, ended_at = $5, lease_until = null, log = log || $6::jsonb
where id = $1 and attempt = $2 and state = 'sending' returning id
"""
WELL_SQL = """
update webhook_endpoint set failing_since = null where id = $1 and failing_since is not null
"""
UNWELL_SQL = """
update webhook_endpoint set failing_since = $2 where id = $1 and failing_since is null
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A message that is ours to send; `attempt` says so."""

    id: int
    attempt: int
    endpoint_id: int
    message: Message


def lease_s(ctx: Context) -> float:
    """For how long a message is held, in seconds: while its receiver may answer, and a lease beyond."""
    return ctx.settings.webhooks.timeout_s + ctx.settings.worker.lease_s


async def run(ctx: Context, endpoint_id: int) -> None:
    """Send what is due to one endpoint, a few at a time; what more there is, the clock finds.

    While the receiver is waited for, no connection to the database is held.
    """
    turn = _Turn(endpoint_id, until=ctx.clock.monotonic() + _TURN_S)
    async with outgoing(ctx.settings.webhooks) as session:
        hands = (_one_by_one(ctx, session, turn) for _ in range(AT_ONCE))
        # None of them is cut short because another one could not write down what came of it.
        for failed in await asyncio.gather(*hands, return_exceptions=True):
            if failed is not None:
                raise failed


@dataclass(slots=True)
class _Turn:
    """`is_over`: the receiver is to be spared, so nothing more is begun."""

    endpoint_id: int
    until: float
    is_over: bool = False


async def _one_by_one(ctx: Context, session: aiohttp.ClientSession, turn: _Turn) -> None:
    """One message after the other: a slow answer to one holds up none that others send."""
    while not turn.is_over and ctx.clock.monotonic() < turn.until:
        held = await _apart(ctx, partial(_claim, ctx, turn.endpoint_id))
        if held is None:
            return
        outcome = await send(ctx, session, held.message)
        await reach("webhook.before_record")
        turn.is_over |= strains(outcome, ctx.settings.webhooks)
        await _apart(ctx, partial(record, ctx, held, outcome))


async def _apart(ctx: Context, work: Callable[[Connection], Awaitable[T]]) -> T:
    """In a transaction; however many receivers there are, customers' messages find a connection."""
    async with ctx.aside:
        return await in_transaction(ctx.pool, work, rng=ctx.rng)


async def _claim(ctx: Context, endpoint_id: int, conn: Connection) -> Held | None:
    # The lock is what makes the count of those under way true.
    endpoint = await find(conn, endpoint_id, lock=True)
    if endpoint is None or endpoint.disabled_at is not None:
        return None
    types = [item.value for item in EventType]
    for lost in await conn.fetch(LOST_SQL, endpoint_id, types):
        await _lose(conn, ctx, endpoint, _held(lost, endpoint, ()))
    now, paused_until = ctx.now(), await pause_of(conn, endpoint_id)
    if paused_until is not None and paused_until > now:
        return None
    at_once = AT_ONCE if paused_until is None else 1
    row = await conn.fetchrow(CLAIM_SQL, endpoint_id, now, at_once, lease_s(ctx), types)
    return _held(row, endpoint, await _secrets(conn, ctx, endpoint)) if row else None


async def _lose(conn: Connection, ctx: Context, endpoint: Endpoint, held: Held) -> None:
    """An attempt like any other, or a message by which workers die would be sent for ever.

    Its pause began with it. It says nothing of the receiver, who may have it.
    """
    now = ctx.now()
    outcome = Outcome(AttemptError.LOST, None, 0)
    began = now - timedelta(seconds=lease_s(ctx))
    state, due, ended = _next(ctx, held, outcome, began)
    entry = [Try.of(outcome, at=now).model_dump(mode="json")]
    await conn.execute(RECORD_SQL, held.id, held.attempt, state, due, ended and now, entry)
    WEBHOOK_ATTEMPTS.labels(held.message.type, outcome.trouble).inc()
    _say_failed(ctx, endpoint, held, outcome, state)


async def _secrets(conn: Connection, ctx: Context, endpoint: Endpoint) -> tuple[str, ...]:
    """None at all where they were sealed under another secret of the installation."""
    try:
        return tuple(await secrets_of(conn, ctx, endpoint.id, now=ctx.now()))
    except BrokenSealError:
        log.warning("webhook_secret_unreadable", webhook=public_id(ctx, endpoint.id))
        return ()


def _held(row: asyncpg.Record, endpoint: Endpoint, secrets: tuple[str, ...]) -> Held:
    message = Message(
        row["event_id"], EventType(row["type"]), row["data"], row["at"], endpoint.url, secrets
    )
    return Held(row["id"], row["attempt"], endpoint.id, message)


async def send(ctx: Context, session: aiohttp.ClientSession, message: Message) -> Outcome:
    """One attempt, signed now. Whatever happens is an outcome."""
    if not message.secrets:
        return Outcome(AttemptError.UNREADABLE, None, 0)
    try:
        body, headers = written(ctx, message, now=ctx.now())
    except ValidationError:
        # Another version kept it, and this one cannot read it: one that can may come.
        log.exception("webhook_event_unreadable", type=message.type.value)
        return Outcome(AttemptError.UNREADABLE, None, 0)
    settings = ctx.settings.webhooks
    outcome = await post(
        session, settings, message.url, body=body, headers=headers, clock=ctx.clock
    )
    WEBHOOK_ATTEMPTS.labels(message.type, outcome.trouble or "ok").inc()
    return outcome


async def record(ctx: Context, held: Held, outcome: Outcome, conn: Connection) -> None:
    """What came of an attempt: of the message and, unless a test failed, of the endpoint as a whole."""
    now = ctx.now()
    endpoint = await find(conn, held.endpoint_id, lock=True)
    if endpoint is None:
        return
    state, due, ended = _next(ctx, held, outcome, now)
    entry = [Try.of(outcome, at=now).model_dump(mode="json")]
    if await conn.fetchval(RECORD_SQL, held.id, held.attempt, state, due, ended, entry) is None:
        return
    by_hand = held.message.type is EventType.WEBHOOK_TEST
    if by_hand and not outcome.is_success:
        return
    settings = ctx.settings.webhooks
    await note_strain(conn, endpoint.id, outcome, settings, by_hand=by_hand, now=now)
    if outcome.is_success:
        await conn.execute(WELL_SQL, endpoint.id)
        return
    _say_failed(ctx, endpoint, held, outcome, state)
    await conn.execute(UNWELL_SQL, endpoint.id, now)
    why = _disabled_why(endpoint, outcome, now)
    if why and await disable(conn, endpoint.id, why=why, now=now):
        await _say_disabled(conn, ctx, endpoint, why, now)


def _next(
    ctx: Context, held: Held, outcome: Outcome, now: datetime
) -> tuple[str, datetime, datetime | None]:
    """State, due_at and ended_at after an attempt."""
    if outcome.is_success:
        return "delivered", now, now
    if held.message.type is EventType.WEBHOOK_TEST:
        return "failed", now, now
    due = next_try(held.attempt, at=now, since=held.message.at, rng=ctx.rng)
    return ("failed", now, now) if due is None else ("waiting", due, None)


def _disabled_why(endpoint: Endpoint, outcome: Outcome, now: datetime) -> Why:
    if outcome.trouble is AttemptError.GONE:
        return "gone"
    since = endpoint.failing_since
    return "failing" if since is not None and now - since >= GIVE_UP_AFTER else ""


def _say_failed(ctx: Context, endpoint: Endpoint, held: Held, outcome: Outcome, state: str) -> None:
    log.warning(
        "webhook_given_up" if state == "failed" else "webhook_failed",
        webhook=public_id(ctx, endpoint.id),
        host=URL(endpoint.url).host,
        type=held.message.type.value,
        attempt=held.attempt,
        error=outcome.trouble.value,
        status=outcome.status,
    )


async def _say_disabled(
    conn: Connection, ctx: Context, endpoint: Endpoint, why: Why, now: datetime
) -> None:
    webhook = public_id(ctx, endpoint.id)
    await note(
        conn, at=now, actor="system", action="webhook.disable", thing=webhook, detail={"why": why}
    )
    WEBHOOKS_DISABLED.labels(why).inc()
    log.error("webhook_disabled", webhook=webhook, host=URL(endpoint.url).host, why=why)


def public_id(ctx: Context, endpoint_id: int) -> str:
    """How an endpoint is called outside."""
    return ctx.signer.public_id(ENDPOINT, endpoint_id)
