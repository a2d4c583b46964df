"""One event through the door: proven, read, new or said before, put into effect, kept. All or nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.intake.adapters import ADAPTERS
from dispatcher.intake.events import Happened, add_event
from dispatcher.intake.model import DraftProposal, Ignored, Reading, Request, UpdateProposal
from dispatcher.intake.once import Door, Outcome, made_of, stored
from dispatcher.intake.propose import Made, Proposer
from dispatcher.intake.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an event became, now or when it was said before (`repeated`)."""

    event_id: int
    made: Made
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A true event that became nothing, and why."""

    event_id: int
    reason: str


Received: TypeAlias = Taken | Unused


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request of a proven sender and what its adapter read. `replay_of`: the event it repeats.

    `forced`: take it as new even if it was said before.
    """

    request: Request
    reading: Reading
    replay_of: int | None = None
    forced: bool = False


def read(source: Source, request: Request) -> Reading:
    """What the request proposes, in the words of its kind. Raises MalformedError."""
    return ADAPTERS[source.kind].read(request)


async def receive(
    conn: Connection, ctx: Context, source: Source, event: Arrival, *, now: datetime
) -> Received:
    """Put one event into effect and remember it, in the caller's transaction. Raises RefusedError."""
    outcome = await _outcome_of(conn, ctx, source, event, now)
    ignored = outcome.ignored
    happened = Happened(
        outcome="repeated" if outcome.repeated else "ignored" if ignored else "taken",
        detail=ignored or outcome.why,
        result=outcome.result,
        replay_of=event.replay_of,
    )
    event_id = await add_event(conn, ctx, source.id, event.request, happened, now=now)
    if ignored:
        return Unused(event_id=event_id, reason=ignored)
    made = made_of(outcome.result)
    return Taken(event_id=event_id, made=made, repeated=outcome.repeated)


async def _outcome_of(
    conn: Connection, ctx: Context, source: Source, event: Arrival, now: datetime
) -> Outcome:
    door = Door(
        conn=conn, source=source, forced=event.forced, replayed=event.replay_of is not None, now=now
    )
    proposer = Proposer(conn, ctx, source, now)
    match event.reading:
        case Ignored():
            return Outcome(stored(event.reading))
        case UpdateProposal() as update:
            return await door.words(update, proposer)
        case DraftProposal() as draft:
            return await door.alerts(draft, proposer)
        case _:
            assert_never(event.reading)
