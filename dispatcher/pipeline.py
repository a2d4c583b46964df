"""The wiring, on one screen: an event wakes a stage, which publishes what has happened.

    update.accepted ─ compose ─ update.composed ─ approve ─ update.approved ─ plan ─┬─ slices.waiting
                                                                                    └─ dispatch.planned
    slices.waiting ─ release ─ slice.released.[urgent.]{email,sms,social} ─ send ─ slices.waiting
    receipts.arrived ─ track          dispatch.planned ─ report          export.wanted ─ report
    webhook.due ─ webhooks            failures.due ─ webhooks

The web takes updates in (`take_in`) and stores receipts (`stages.track.store`); everything else is here.
A clock publishes what is due to webhooks; for those who tell them something it is no matter.
A job is only a wake-up: each handler claims its row, and the sweep publishes again what is unfinished.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.stages import approve, compose, plan, release, report, send, track, webhooks
from dispatcher.stages.accept import AcceptedUpdate, UpdateIn, accept, release_draft

Stage = Callable[[Context, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wire:
    """On `event`, run `stage` with the row's id; the stage may publish the events named."""

    event: str
    stage: Stage
    publishes: tuple[str, ...]
    consumer: str


def _on_to(*stages: Stage) -> Stage:
    """One stage and at once the next ones: what they publish in between would only take time to arrive.

    It is published all the same. Whoever is woken by it, or by the sweep, finds nothing left to claim.
    """

    async def run(ctx: Context, key: int) -> None:
        for stage in stages:
            await stage(ctx, key)

    return run


PIPELINE: tuple[Wire, ...] = (
    Wire("update.accepted", _on_to(compose.run, approve.run, plan.run), compose.PUBLISHES, "flow"),
    Wire("update.composed", _on_to(approve.run, plan.run), approve.PUBLISHES, "flow"),
    Wire("update.approved", plan.run, plan.PUBLISHES, "flow"),
    Wire("slices.waiting", release.run, release.PUBLISHES, "flow"),
    Wire("slice.released.urgent.email", send.run, send.PUBLISHES, "urgent.email"),
    Wire("slice.released.urgent.sms", send.run, send.PUBLISHES, "urgent.sms"),
    Wire("slice.released.urgent.social", send.run, send.PUBLISHES, "urgent.social"),
    Wire("slice.released.email", send.run, send.PUBLISHES, "email"),
    Wire("slice.released.sms", send.run, send.PUBLISHES, "sms"),
    Wire("slice.released.social", send.run, send.PUBLISHES, "social"),
    Wire("receipts.arrived", track.run, (), "evidence"),
    Wire("dispatch.planned", report.run, (), "evidence"),
    Wire("export.wanted", report.run_export, (), "exports"),
    Wire("webhook.due", webhooks.run, (), "webhooks"),
    Wire("failures.due", webhooks.tell_failures, (), "evidence"),
)

# Of what concerns a P0; see `Precedence`.
URGENT_PRIORITY = 10

# A consumer has its own connection and slots, so a hanging provider blocks only itself: (batch, slots).
# Six slices of texts keep a worker busy; more would only end later, all at once.
# Who sends a webhook mostly waits for the receiver, which takes up nothing but its place.
# Those named for a channel, urgent or not, run only where the channel has credentials.
CONSUMERS: Mapping[str, tuple[int, int]] = {
    "flow": (2, 8),
    "urgent.email": (1, 8),
    "urgent.sms": (1, 8),
    "urgent.social": (1, 2),
    "email": (2, 8),
    "sms": (1, 6),
    "social": (1, 2),
    "evidence": (2, 4),
    "exports": (1, 2),
    "webhooks": (5, 100),
}


async def take_in(
    conn: Connection, ctx: Context, body: UpdateIn, *, actor: str, now: datetime
) -> AcceptedUpdate:
    """Accept one update, in the caller's transaction; what could not be worded is refused at the door.

    Raises RefusedError naming each wrong field.
    """
    accepted = await accept(conn, ctx, body, actor=actor, now=now)
    if accepted.dispatch_id is not None:
        await compose.refuse_unwordable(conn, ctx, accepted.update_id)
    return accepted


async def release_update(
    conn: Connection, ctx: Context, update_id: int, *, now: datetime
) -> AcceptedUpdate:
    """Send a draft on its way, with the same checks as an update that is posted."""
    accepted = await release_draft(conn, ctx, update_id, now=now)
    await compose.refuse_unwordable(conn, ctx, update_id)
    return accepted
