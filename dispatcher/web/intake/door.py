"""`POST /v1/intake/{source_id}`: raw bytes, proof, adapter, one transaction, and what it became."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.intake import events, sources
from dispatcher.intake.adapters import ADAPTERS
from dispatcher.intake.events import Happened
from dispatcher.intake.model import ForgedError, MalformedError, Reading, Request, Trouble
from dispatcher.intake.receive import Arrival, Received, Taken, read, receive
from dispatcher.intake.sources import Source
from dispatcher.intake.troubles import Brake, Rejection, note_rejection
from dispatcher.metrics import UPDATES, one_of
from dispatcher.rules.problem import FieldProblem, RefusedError, not_found
from dispatcher.seal import BrokenSealError
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.boundary import SENDER
from dispatcher.web.ids import EVENT, SOURCE, UPDATE, number_of
from dispatcher.web.intake.models import IntakeIgnored, IntakeTaken
from dispatcher.web.limits import of_events, spend, whole_address
from dispatcher.web.reading import read_bytes
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import POOL_WAIT_S, Call
from dispatcher.web.updates import accepted_view

# Reading a big body takes tens of milliseconds: off the event loop.
_LARGE = 64 * 1024

BRAKE: Final = web.AppKey("brake", Brake)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A request of a proven sender. `actor` is who had it processed: the source, or who replays."""

    source: Source
    request: Request
    actor: str
    replay_of: int | None = None
    forced: bool = False


class _DisabledError(Exception):
    """The source was disabled after its sender was proved."""


async def post_intake(call: Call[None, AnyQuery]) -> Reply:
    """Prove, read, put into effect; 202 with what it became, 200 where it is of no use."""
    ctx = call.ctx
    number = number_of(ctx, SOURCE, call.path("source_id"))
    request = Request(
        body=await read_bytes(call.request),
        headers=_first_of_each(call.request.headers),
        path_secret=call.request.match_info.get("secret", ""),
    )
    source = await _proven(call, number, request)
    try:
        # After the proof, so that nobody else can use up what the source may send; before all else.
        spend(call.request, of_events(ctx.settings.api), call.path("source_id"))
    except WebRefusedError as refused:
        await _note_brake(call, source, Trouble.THROTTLED, refused.title)
        raise
    actor = f"source:{ctx.signer.public_id(SOURCE, source.id)}"
    return await process(ctx, Delivered(source=source, request=request, actor=actor))


async def process(ctx: Context, delivered: Delivered) -> Reply:
    """Read what a proven sender sent, put it into effect, and keep it for the inspector, come what may.

    Raises RefusedError for what cannot be read or taken in.
    """
    source, request = delivered.source, delivered.request
    if source.disabled_at is not None:
        raise await _disabled(ctx, delivered)
    try:
        reading = await _read(source, request)
    except MalformedError as error:
        await _keep(ctx, delivered, "malformed", str(error), Trouble.MALFORMED)
        finding = FieldProblem(error.pointer, "malformed", error.detail)
        raise WebRefusedError("malformed-event", problems=[finding]) from None
    event = Arrival(
        request=request,
        reading=reading,
        replay_of=delivered.replay_of,
        forced=delivered.forced,
    )
    try:
        received = await in_transaction(
            ctx.pool, partial(_put_into_effect, ctx, delivered, event), rng=ctx.rng
        )
    except _DisabledError:
        raise await _disabled(ctx, delivered) from None
    except RefusedError as refused:
        details = "; ".join(f"{item.pointer}: {item.detail}" for item in refused.problems)
        detail = f"{refused.title}. {details}"
        await _keep(ctx, delivered, "refused", detail, Trouble.REFUSED)
        raise
    await reach("accept.after_commit")
    _count(ctx, source, received)
    return reply(ctx, received)


async def _disabled(ctx: Context, delivered: Delivered) -> WebRefusedError:
    """What the sender is answered; it is kept that it came."""
    await _keep(ctx, delivered, "disabled", "", None)
    return WebRefusedError("source-disabled")


def reply(ctx: Context, received: Received) -> Reply:
    """What the sender is answered."""
    event_id = ctx.signer.public_id(EVENT, received.event_id)
    if not isinstance(received, Taken):
        return Reply(IntakeIgnored(event_id=event_id, ignored=received.reason))
    view = accepted_view(ctx, received.made.accepted)
    taken = IntakeTaken(**view.model_dump(), event_id=event_id, became=received.made.became)
    headers = {"Location": view.links.location}
    if received.repeated:
        headers["Idempotency-Replayed"] = "true"
    return Reply(taken, 202, headers)


def _first_of_each(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        found.setdefault(name.lower(), value)
    return found


async def _proven(call: Call[None, AnyQuery], number: int, request: Request) -> Source:
    """The source whose proof the request carries. Raises RefusedError."""
    ctx = call.ctx
    now = ctx.now()
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        source = await sources.find(conn, number)
        if source is None:
            raise not_found("source")
        call.request[SENDER] = source.kind
        try:
            keys = await sources.keys_of(conn, ctx, source, now=now)
        except BrokenSealError:
            raise WebRefusedError("source-unreadable", headers={"Retry-After": "300"}) from None
    why = (
        "" if _may_speak(call, source) else "It came from an address that the source does not allow"
    )
    try:
        ADAPTERS[source.kind].verify(request, keys, now=now)
    except ForgedError:
        why = "Its signature or secret is missing, wrong, or too old"
    if why:
        await _note_brake(call, source, Trouble.FORGED, why)
        raise WebRefusedError("forged-event")
    return source


def _may_speak(call: Call[None, AnyQuery], source: Source) -> bool:
    """Whether the request comes from where the source may be; nothing said, anywhere."""
    networks = source.defaults.networks
    address = whole_address(call.request)
    return not networks or (address is not None and any(address in network for network in networks))


async def _note_brake(
    call: Call[None, AnyQuery], source: Source, kind: Trouble, detail: str
) -> None:
    """Keep what anybody may send by the thousand: once in a while, with how many there were."""
    ctx = call.ctx
    number = call.request.app[BRAKE].pass_on(source.id, kind, ctx.clock.monotonic())
    if number:
        rejection = Rejection(kind, detail, number)
        await in_transaction(ctx.pool, partial(_note, ctx, source, rejection), rng=ctx.rng)


async def _note(ctx: Context, source: Source, rejection: Rejection, conn: Connection) -> None:
    now = ctx.now()
    await sources.stay(conn, source.id)
    await note_rejection(conn, ctx, source, rejection, now=now)
    if rejection.kind is Trouble.FORGED:
        await events.add_forged(conn, source.id, rejection.detail, now=now)


async def _read(source: Source, request: Request) -> Reading:
    if len(request.body) > _LARGE:
        return await asyncio.to_thread(read, source, request)
    return read(source, request)


async def _put_into_effect(
    ctx: Context, delivered: Delivered, event: Arrival, conn: Connection
) -> Received:
    # What the operator has changed since the sender was proved holds already.
    source = await sources.settled(conn, delivered.source.id)
    if source.disabled_at is not None:
        raise _DisabledError
    now = ctx.now()
    received = await receive(conn, ctx, source, event, now=now)
    if isinstance(received, Taken) and not received.repeated:
        accepted = received.made.accepted
        await note(
            conn,
            at=now,
            actor=delivered.actor,
            action="update.intake",
            thing=ctx.signer.public_id(UPDATE, accepted.update_id),
            detail={"state": accepted.state, "became": received.made.became},
        )
    await reach("accept.before_commit")
    return received


async def _keep(
    ctx: Context, delivered: Delivered, outcome: str, detail: str, trouble: Trouble | None
) -> None:
    """For the inspector; `trouble` where its sender must be seen to. A replay is nobody's trouble."""
    source, replay_of = delivered.source, delivered.replay_of
    happened = Happened(outcome=outcome, detail=detail, replay_of=replay_of)

    async def work(conn: Connection) -> None:
        now = ctx.now()
        await sources.stay(conn, source.id)
        await events.add_event(conn, ctx, source.id, delivered.request, happened, now=now)
        if trouble is not None and replay_of is None:
            await note_rejection(conn, ctx, source, Rejection(trouble, detail), now=now)

    await in_transaction(ctx.pool, work, rng=ctx.rng)


def _count(ctx: Context, source: Source, received: Received) -> None:
    if isinstance(received, Taken):
        sent = received.made.accepted.dispatch_id is not None
        outcome = "replayed" if received.repeated else "accepted" if sent else "draft"
        UPDATES.labels(one_of(source.name, ctx.settings.metrics.sources), outcome).inc()
