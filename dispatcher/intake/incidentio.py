"""incident.io webhooks, signed as Standard Webhooks. The event stands under a key named like its type."""

from datetime import datetime
from typing import Final

from dispatcher.intake import proof
from dispatcher.intake.model import (
    ENDED,
    Alert,
    DraftProposal,
    Ignored,
    Keys,
    Reading,
    Request,
    UpdateProposal,
)
from dispatcher.intake.shapes import Node, line, lines, read_json
from dispatcher.intake.words import STATUSES

_CREATED: Final = "public_incident.incident_created_v2"
_STATUS: Final = "public_incident.incident_status_updated_v2"
# What teams call their states differs; the category they belong to does not.
_CATEGORIES: Final = {"triage": "investigating", "learning": "resolved", "closed": "resolved"}
_UNREAL: Final = frozenset({"test", "tutorial", "retrospective"})
_DROPPED: Final = frozenset({"declined", "merged", "canceled"})


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    proof.standard_webhook(keys, request.body, request.headers, now=now)


def read(request: Request) -> Reading:
    """What one event proposes. Raises MalformedError."""
    body = read_json(request.body)
    kind = body.name("event_type")
    if kind == _CREATED:
        incident = body.need(kind)
        return _unwanted(incident) or _created(incident, _key(request, incident))
    if kind == _STATUS:
        event = body.need(kind)
        incident = event.need("incident")
        return _unwanted(incident) or _status(event, incident, _key(request, incident))
    return Ignored(f"{line(kind)} says nothing that customers are told")


def _key(request: Request, incident: Node) -> str:
    """The sender's id of the message; whoever verified the signature has seen it."""
    return request.headers.get("webhook-id") or incident.name("updated_at")


def _unwanted(incident: Node) -> Ignored | None:
    if incident.text("visibility") == "private":
        return Ignored("private incidents stay private")
    if incident.text("mode") in _UNREAL:
        return Ignored(f"an incident of the mode {incident.text('mode')} concerns no customer")
    return None


def _created(incident: Node, key: str) -> DraftProposal:
    text = [incident.text("name"), incident.text("summary")]
    return DraftProposal(
        incident_key=_incident_key(incident),
        heading="incident.io: created",
        alerts=(Alert(key, lines([line(part, 500) for part in text]) or "no name"),),
        severity=incident.text("severity", "name"),
        components=tuple(_components(incident)),
        link=incident.text("permalink"),
        at=incident.when("updated_at"),
    )


def _status(event: Node, incident: Node, key: str) -> Reading:
    state = event.need("new_status")
    category = state.text("category").lower()
    if category in _DROPPED:
        return Ignored(f"the incident was {category}")
    word = state.text("name").strip().lower()
    status = STATUSES.get(word) or STATUSES.get(_CATEGORIES.get(category, ""))
    message = event.text("message")
    if not message.strip():
        ended = status in ENDED
        text = f"{line(incident.text('name'))}: {line(state.text('name'), 60)}"
        return DraftProposal(
            incident_key=_incident_key(incident),
            heading="incident.io: the status changed, without words",
            alerts=(Alert(key, text, firing=not ended),),
            ended=ended,
            severity=incident.text("severity", "name"),
            at=incident.when("updated_at"),
        )
    return UpdateProposal(
        key=key,
        incident_key=_incident_key(incident),
        status=status,
        text=message,
        internal_title=line(incident.text("name")),
        severity=incident.text("severity", "name"),
        components=tuple(_components(incident)),
        link=incident.text("permalink"),
        at=incident.when("updated_at"),
    )


def _incident_key(incident: Node) -> str:
    return incident.text("reference") or incident.name("id")


def _components(incident: Node) -> list[str]:
    """The values of custom fields: one of them is what teams call the affected product."""
    found = [
        value.text("value_option", "value")
        for entry in incident.items("custom_field_entries")
        for value in entry.items("values")
    ]
    return [name for name in dict.fromkeys(found) if name]
