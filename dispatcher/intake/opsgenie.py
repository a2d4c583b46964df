"""Opsgenie webhooks: nothing is signed; a header of one's own choice carries the secret as Bearer."""

from datetime import datetime
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
    return DraftProposal(
        # Customers are told what to name when they call; nobody can read out a UUID.
        incident_key=f"OG-{code(alert.name('alertId'))}",
        heading="Opsgenie: closed" if ended else "Opsgenie: opened",
        alerts=(Alert(_key(alert, action), _text(alert), firing=not ended),),
        ended=ended,
        severity=_priority(alert),
        components=tuple(_components(alert)),
    )


def _key(alert: Node, action: str) -> str:
    """`updatedAt` counts milliseconds or nanoseconds, and is a text in some versions."""
    moment = alert.get("updatedAt") or alert.need("createdAt")
    if type(moment.value) not in {int, str}:
        raise MalformedError(moment.pointer, "must be a whole number or a text")
    return "\n".join([alert.name("alertId"), action, str(moment.value)])


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
