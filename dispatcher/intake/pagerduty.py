"""PagerDuty webhooks v3: `X-PagerDuty-Signature: v1=<hex>[,v1=…]` over the raw body."""

from datetime import datetime

from dispatcher.intake import proof
from dispatcher.intake.model import (
    Alert,
    DraftProposal,
    Ignored,
    Keys,
    Reading,
    Request,
    UpdateProposal,
)
from dispatcher.intake.shapes import Node, line, lines, read_json

_OPENS = frozenset({"incident.triggered", "incident.reopened"})


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    del now  # nothing in the signature tells when it was made; `event.id` makes a replay harmless
    given = request.headers.get("x-pagerduty-signature", "").split(",")
    texts = [item.strip() for item in given]
    found = [item.removeprefix("v1=") for item in texts if item.startswith("v1=")]
    proof.signed_in_hex(keys, request.body, found)


def read(request: Request) -> Reading:
    """What one event proposes. Raises MalformedError."""
    event = read_json(request.body).need("event")
    kind = event.name("event_type")
    if kind == "incident.status_update_published":
        return _status_update(event)
    if kind in _OPENS or kind == "incident.resolved":
        return _alert(event, ended=kind == "incident.resolved")
    return Ignored(f"{line(kind)} says nothing that customers are told")


def _status_update(event: Node) -> Reading:
    data = event.need("data")
    text = data.text("message")
    if not text.strip():
        return Ignored("the status update has no text")
    incident = data.need("incident")
    if data.flag("trimmed"):
        return DraftProposal(
            incident_key=incident.name("id"),
            heading="PagerDuty: a status update that is longer than PagerDuty tells us",
            alerts=(Alert(event.name("id"), text),),
            link=incident.text("html_url"),
            at=event.when("occurred_at"),
        )
    return UpdateProposal(
        key=event.name("id"),
        incident_key=incident.name("id"),
        status=None,
        text=text,
        internal_title=line(incident.text("summary")),
        link=incident.text("html_url"),
        at=event.when("occurred_at"),
    )


def _alert(event: Node, *, ended: bool) -> DraftProposal:
    incident = event.need("data")
    service = incident.get("service") or Node({})
    called = service.text("summary")
    text = lines(
        [
            line(incident.text("title"), 500) or "no title",
            f"Service: {line(called)}" if called else "",
        ]
    )
    return DraftProposal(
        incident_key=incident.name("id"),
        heading="PagerDuty: resolved" if ended else "PagerDuty: triggered",
        alerts=(Alert(event.name("id"), text, firing=not ended),),
        ended=ended,
        severity=incident.text("priority", "summary"),
        components=tuple(name for name in (service.text("id"), called) if name),
        link=incident.text("html_url"),
        at=event.when("occurred_at"),
    )
