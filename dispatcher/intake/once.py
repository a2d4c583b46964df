"""Once, however often it is said: what of an event is new, what was said before, what was overtaken."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from dispatcher.db import Connection
from dispatcher.intake.events import last_said, said_before, settle
from dispatcher.intake.groups import SAME_INCIDENT_FOR, quiet_of_group, take_turn
from dispatcher.intake.model import Alert, DraftProposal, Ignored, UpdateProposal
from dispatcher.intake.proof import TOLERANCE
from dispatcher.intake.propose import DISCARDED, Made, Proposer
from dispatcher.intake.sources import Source
from dispatcher.stages.accept import AcceptedUpdate

_IGNORED: Final = "ignored"
_AT: Final = "at"
OVERTAKEN: Final = "a newer update of the incident had come already"
AGAIN: Final = (
    "It had been said to be over, and fires with the beginning it had: "
    "it never ended, or this word is late."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event became, as it is stored; `repeated` where that was answered before.

    `why` it counts although it was said before, or why nothing more comes of it; '' where that is plain.
    """

    result: Mapping[str, Any]
    repeated: bool = False
    why: str = ""

    @property
    def ignored(self) -> str:
        """Why it became nothing; '' where it became something."""
        found: str = self.result.get(_IGNORED, "")
        return found


@dataclass(frozen=True, slots=True)
class _News:
    """What of a group of alerts is new, and as `Outcome`, why."""

    alerts: Sequence[Alert] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Lets in once what is said several times, and not at all what newer words have overtaken.

    `forced`: what was said before counts as new. `replayed`: it is an operator who says it, not the sender.
    """

    conn: Connection
    source: Source
    forced: bool
    replayed: bool
    now: datetime

    async def words(self, update: UpdateProposal, proposer: Proposer) -> Outcome:
        """Put a person's words into effect."""
        before = await self._said_before([update.key, *update.passed])
        known = before[update.key]
        if known is not None and not self.forced:
            return Outcome(known, repeated=True)
        overtaken = await self._is_overtaken(f"words about\n{update.incident_key}", update.at)
        result = {_IGNORED: OVERTAKEN} if overtaken else stored(await proposer.update(update))
        await self._settle([update.key], result)
        passed = [key for key in update.passed if before[key] is None]
        await self._settle(passed, {_IGNORED: OVERTAKEN})
        return Outcome(result)

    async def alerts(self, draft: DraftProposal, proposer: Proposer) -> Outcome:
        """Put what a machine says into effect, as far as it is new."""
        if draft.recurring:
            await take_turn(self.conn, self.source.id, draft.incident_key)
        undone = await self._undone(draft.alerts)
        whole = "\n".join(["all of", *(alert.key for alert in draft.alerts)])
        before = await self._said_before([whole, *(alert.key for alert in draft.alerts)])
        known = before[whole] or _newest(before.values())
        news = _news(draft.alerts, before, undone)
        if self.forced:
            news = _News(draft.alerts)
        elif not news.alerts:
            news = await self._what_goes_on(draft, known)
        if not news.alerts:
            await self._settle([whole], known)
            return Outcome(known, repeated=True, why=news.why)
        overtaken = await self._is_overtaken(f"alerts about\n{draft.incident_key}", draft.at)
        result = {_IGNORED: OVERTAKEN}
        if not overtaken:
            result = stored(await proposer.draft(draft, news.alerts, news.why))
        await self._settle([whole, *(alert.key for alert in news.alerts)], result)
        return Outcome(result, why=news.why)

    async def _undone(self, alerts: Sequence[Alert]) -> set[str]:
        """Keys of what says the opposite of the last word about the same alert.

        It counts again: Alertmanager says that an alert is over when it has only lost sight of it, and then
        that it fires, with the beginning it had. A replay is as old as what it repeats.
        """
        opposites = {alert.key: alert.opposite for alert in alerts if alert.opposite}
        if self.replayed or not opposites:
            return set()
        said = await last_said(self.conn, self.source.id, [*opposites, *opposites.values()])
        return {
            key
            for key, other in opposites.items()
            if other in said and (key not in said or said[other] > said[key])
        }

    async def _what_goes_on(self, draft: DraftProposal, known: Mapping[str, Any]) -> _News:
        """What was said before is news when all of it was said to be over, and it fires on."""
        firing = [alert for alert in draft.alerts if alert.firing]
        if not draft.recurring or not firing or self.replayed:
            return _News()
        quiet = await quiet_of_group(
            self.conn, self.source, draft.incident_key, update_id=known.get("update_id")
        )
        if quiet.has_ended:
            return _News(firing, AGAIN)
        if quiet.is_discarded:
            return _News(why=DISCARDED)
        if quiet.over_since is None:
            return _News()
        said = f"Somebody said at {quiet.over_since:%Y-%m-%d %H:%M} UTC that it is over"
        from_then = quiet.over_since + SAME_INCIDENT_FOR
        if self.now <= from_then:
            return _News(
                why=f"{said}; if it still fires after {from_then:%H:%M} UTC, that is a draft"
            )
        return _News(firing, f"{said}, and it still fires.")

    async def _said_before(self, keys: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
        return await said_before(
            self.conn, self.source.id, keys, now=self.now, by_sender=not self.replayed
        )

    async def _settle(self, keys: Sequence[str], result: Mapping[str, Any]) -> None:
        await settle(self.conn, self.source.id, keys, result)

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


def _news(
    alerts: Sequence[Alert], before: Mapping[str, Mapping[str, Any] | None], undone: set[str]
) -> _News:
    fresh = [alert for alert in alerts if before[alert.key] is None or alert.key in undone]
    again = any(alert.firing and alert.key in undone for alert in fresh)
    return _News(fresh, AGAIN if again else "")


def _newest(results: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any]:
    """Of what several alerts became, each in its turn, what came last; nothing where all are new."""
    found = [result for result in results if result is not None]
    return max(found, key=lambda result: result.get("update_id", 0), default={})


def stored(made: Made | Ignored) -> dict[str, Any]:
    """What something became, as it is kept."""
    if isinstance(made, Ignored):
        return {_IGNORED: made.reason}
    return {"became": made.became, **asdict(made.accepted)}


def made_of(result: Mapping[str, Any]) -> Made:
    """What was stored, as it was."""
    fields = {**result, "missing": tuple(result["missing"])}
    became = fields.pop("became")
    return Made(became=became, accepted=AcceptedUpdate(**fields))
