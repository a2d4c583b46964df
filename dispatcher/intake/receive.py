"""One event through the door: proven, read, new or said before, put into effect, kept. All or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.intake.adapters import ADAPTERS
from dispatcher.intake.events import Happened, add_event, said_before, settle
from dispatcher.intake.model import DraftProposal, Ignored, Reading, Request, UpdateProposal
from dispatcher.intake.proof import TOLERANCE
from dispatcher.intake.propose import Made, Proposer
from dispatcher.intake.sources import Source
from dispatcher.stages.accept import AcceptedUpdate

_IGNORED: Final = "ignored"
_AT: Final = "at"
OVERTAKEN: Final = "a newer update of the incident had come already"


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
    result, repeated = await _result_of(conn, ctx, source, event, now)
    ignored = result.get(_IGNORED)
    outcome = "repeated" if repeated else "ignored" if ignored else "taken"
    happened = Happened(
        outcome=outcome, detail=ignored or "", result=result, replay_of=event.replay_of
    )
    event_id = await add_event(conn, ctx, source.id, event.request, happened, now=now)
    if ignored:
        return Unused(event_id=event_id, reason=ignored)
    return Taken(event_id=event_id, made=made_of(result), repeated=repeated)


async def _result_of(
    conn: Connection, ctx: Context, source: Source, event: Arrival, now: datetime
) -> tuple[Mapping[str, Any], bool]:
    """The stored form of what it became, and whether that is what was answered before."""
    door = _Door(conn, source.id, event.forced, now)
    proposer = Proposer(conn, ctx, source, now)
    match event.reading:
        case Ignored(reason):
            return {_IGNORED: reason}, False
        case UpdateProposal() as update:
            return await door.words(update, proposer)
        case DraftProposal() as draft:
            return await door.alerts(draft, proposer)
        case _:
            assert_never(event.reading)


@dataclass(frozen=True, slots=True)
class _Door:
    """Lets in once what is said several times, and not at all what newer words have overtaken."""

    conn: Connection
    source_id: int
    forced: bool
    now: datetime

    async def words(
        self, update: UpdateProposal, proposer: Proposer
    ) -> tuple[Mapping[str, Any], bool]:
        before = await self._said_before([update.key, *update.passed])
        known = before[update.key]
        if known is not None and not self.forced:
            return known, True
        overtaken = await self._is_overtaken(f"words about\n{update.incident_key}", update.at)
        result = {_IGNORED: OVERTAKEN} if overtaken else _stored(await proposer.update(update))
        await self._settle([update.key], result)
        passed = [key for key in update.passed if before[key] is None]
        await self._settle(passed, {_IGNORED: OVERTAKEN})
        return result, False

    async def alerts(
        self, draft: DraftProposal, proposer: Proposer
    ) -> tuple[Mapping[str, Any], bool]:
        whole = "\n".join(["all of", *(alert.key for alert in draft.alerts)])
        keys = [whole, *(alert.key for alert in draft.alerts)]
        before = await self._said_before(keys)
        fresh = [item for item in draft.alerts if self.forced or before[item.key] is None]
        if not fresh:
            known = before[whole] or _newest(before.values())
            await self._settle([whole], known)
            return known, True
        overtaken = await self._is_overtaken(f"alerts about\n{draft.incident_key}", draft.at)
        result = {_IGNORED: OVERTAKEN} if overtaken else _stored(await proposer.draft(draft, fresh))
        await self._settle([whole, *(alert.key for alert in fresh)], result)
        return result, False

    async def _said_before(self, keys: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
        return await said_before(self.conn, self.source_id, keys, now=self.now)

    async def _settle(self, keys: Sequence[str], result: Mapping[str, Any]) -> None:
        await settle(self.conn, self.source_id, keys, result)

    async def _is_overtaken(self, order: str, at: datetime | None) -> bool:
        """Whether what was said at that time came after newer words; senders promise no order.

        What has no time, or one that is not yet, counts when it comes.
        """
        if at is None or at > self.now + TOLERANCE:
            return False
        newest = (await self._said_before([order]))[order]
        told = at.isoformat(timespec="microseconds")
        if newest is None or told >= newest[_AT]:
            await self._settle([order], {_AT: told})
            return False
        return not self.forced


def _newest(results: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any]:
    """Of what several alerts became, each in its turn, what came last."""
    found = [result for result in results if result is not None]
    return max(found, key=lambda result: result.get("update_id", 0))


def _stored(made: Made | Ignored) -> dict[str, Any]:
    if isinstance(made, Ignored):
        return {_IGNORED: made.reason}
    return {"became": made.became, **asdict(made.accepted)}


def made_of(result: Mapping[str, Any]) -> Made:
    """What was stored, as it was."""
    fields = {**result, "missing": tuple(result["missing"])}
    became = fields.pop("became")
    return Made(became=became, accepted=AcceptedUpdate(**fields))
