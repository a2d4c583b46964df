"""Statuspage webhooks: nothing is signed, the secret is a part of the address.

Every event carries the whole history of its incident, so only its newest update counts: older ones
have been sent already, or are no longer worth it.
"""

from datetime import datetime
from typing import Final

from dispatcher.intake import proof
from dispatcher.intake.model import Ignored, Keys, Reading, Request, UpdateProposal
from dispatcher.intake.shapes import Node, line, read_json
from dispatcher.intake.words import STATUSES

MOST_UPDATES: Final = 1000


def verify(request: Request, keys: Keys, *, now: datetime) -> None:
    """Raises ForgedError."""
    del now  # the address does not age
    proof.shown_in_path(keys, request.path_secret)


def read(request: Request) -> Reading:
    """What one event proposes. Raises MalformedError."""
    body = read_json(request.body)
    incident = body.get("incident")
    if incident is not None:
        return _incident(incident)
    if body.get("component_update") is not None:
        return Ignored("the status of a component alone says nothing that customers are told")
    if body.get("incidents") is not None:
        return Ignored("a list of incidents is what Statuspage shows, not an event it sends")
    if body.get("page") is not None:
        return Ignored("the event is about neither an incident nor a component")
    body.need("incident")
    raise AssertionError("need() raises for what is not there")


def _incident(incident: Node) -> Reading:
    if incident.flag("backfilled"):
        return Ignored("the incident was entered after it was over")
    updates = incident.items("incident_updates")
    if not updates:
        return Ignored("the incident has no update yet")
    # The same moment twice: the first in the list is the newer one.
    ordered = sorted(updates, key=lambda item: item.need("created_at").moment(), reverse=True)
    newest, *older = ordered
    word = newest.name("status").lower()
    if newest.flag("deliver_notifications") is False:
        return Ignored("its author chose to notify nobody of this update")
    if word not in STATUSES:
        return Ignored(f"{line(word, 60)} is no state of an incident that goes on")
    maintenance = incident.text("impact") == "maintenance" or incident.get("scheduled_for")
    return UpdateProposal(
        key=f"update:{newest.name('id')}",
        passed=tuple(f"update:{item.name('id')}" for item in older[:MOST_UPDATES]),
        incident_key=incident.name("id"),
        status=STATUSES[word],
        text=newest.text("body"),
        title=incident.name("name"),
        severity="maintenance" if maintenance else incident.text("impact"),
        components=tuple(_components(incident, newest)),
        link=incident.text("shortlink"),
    )


def _components(incident: Node, newest: Node) -> list[str]:
    """Names and ids, those of the update itself before those of its incident."""
    named = [
        part
        for item in newest.items("affected_components")
        for part in (item.text("code"), item.text("name"))
    ]
    named += [
        part
        for item in incident.items("components")
        for part in (item.text("id"), item.text("name"))
    ]
    return [name for name in dict.fromkeys(named) if name]
