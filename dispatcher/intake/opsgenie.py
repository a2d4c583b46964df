"""Opsgenie webhooks: nothing is signed; a header of one's own choice carries the secret as Bearer."""

from datetime import UTC, datetime, timedelta
from typing import Final

from dispatcher.intake import proof
from dispatcher.intake.model import (
    Alert,
    DraftProposal,
    Ignored,
    Keys,
    MalformedError,
    Reading,
    Request,
)
from dispatcher.intake.shapes import Node, code, line, lines, read_json

_OPENS: Final = frozenset({"create", "unacknowledge"})
_ENDS: Final = frozenset({"close", "delete"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# As milliseconds, it would be in three thousand years.
_NANOSECONDS_FROM: Final = 10**14
_LONGEST_MOMENT: Final = 19


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    del now  # nothing is signed; the key of the action makes a replay harmless
    proof.shown(keys, request.headers)


def read(request: Request) -> Reading:
    """What one action on one alert proposes. Raises MalformedError."""
    body = read_json(request.body)
    action = body.name("action")
    if action.lower() not in _OPENS | _ENDS:
        return Ignored(f"the action {line(action, 60)} says nothing that customers are told")
    alert = body.need("alert")
    ended = action.lower() in _ENDS
    key = "\n".join([alert.name("alertId"), action, _updated(alert)])
    return DraftProposal(
        # Customers are told what to name when they call; nobody can read out a UUID.
        incident_key=f"OG-{code(alert.name('alertId'))}",
        heading="Opsgenie: closed" if ended else "Opsgenie: opened",
        alerts=(Alert(key, _text(alert), firing=not ended),),
        ended=ended,
        severity=_priority(alert),
        components=tuple(_components(alert)),
        at=_at(_updated(alert)),
    )


def _updated(alert: Node) -> str:
    """It counts milliseconds or nanoseconds, and is a text in some versions."""
    moment = alert.get("updatedAt") or alert.need("createdAt")
    if type(moment.value) not in {int, str}:
        raise MalformedError(moment.pointer, "must be a whole number or a text")
    return str(moment.value)


def _at(text: str) -> datetime | None:
    """When that was, None where it is no number."""
    if not text.isascii() or not text.isdecimal() or len(text) > _LONGEST_MOMENT:
        return None
    number = int(text)
    return _EPOCH + timedelta(
        milliseconds=number // 10**6 if number >= _NANOSECONDS_FROM else number
    )


def _priority(alert: Node) -> str:
    """`3` in some versions, `"P3"` in others."""
    found = alert.get("priority")
    if found is None:
        return ""
    return f"P{found.value}" if type(found.value) is int else found.text()


def _text(alert: Node) -> str:
    entity = alert.text("entity")
    return lines(
        [
            line(alert.text("message"), 500) or "no message",
            f"Entity: {line(entity)}" if entity else "",
            line(alert.text("description"), 500),
        ]
    )


def _components(alert: Node) -> list[str]:
    named = [alert.text("entity"), *(tag.text() for tag in alert.items("tags"))]
    return [name for name in dict.fromkeys(named) if name]
