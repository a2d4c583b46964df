"""What own systems say, in whichever envelope: the incident, its status, and words or facts.

    {"incident": {"external_id": …, "name": …, "impact": …, "severity": …, "component_ids": […]},
     "status": …, "body": …, "next_update_by": …, "facts": {…}}

`facts` are those of `POST /v1/updates`, and strict like them; the rest is the short form of them.
"""

from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from dispatcher.intake.model import Ignored, MalformedError, Reading, UpdateProposal
from dispatcher.intake.shapes import Node, line
from dispatcher.intake.words import STATUSES
from templates.facts import FactsPatch

PUBLISHED: Final = "incident.update.published"


def unused(kind: str) -> Ignored | None:
    """Why an event of this type is not for us; None where it is. Domains may stand before the type."""
    if kind == PUBLISHED or kind.endswith(f".{PUBLISHED}"):
        return None
    return Ignored(f"the type {line(kind)} does not end in {PUBLISHED}")


def read_update(data: Node, *, key: str, at: datetime | None) -> Reading:
    """One update of one incident; `at` is when the envelope says it was. Raises MalformedError."""
    incident = data.need("incident")
    status = data.need("status")
    word = status.text()
    if word not in STATUSES:
        raise MalformedError(status.pointer, f"must be one of {', '.join(STATUSES)}")
    return UpdateProposal(
        key=key,
        incident_key=incident.name("external_id"),
        status=STATUSES[word],
        text=data.text("body"),
        title=incident.text("name"),
        severity=incident.text("severity") or incident.text("impact"),
        components=tuple(item.name() for item in incident.items("component_ids")),
        next_update_by=_promise(data),
        facts=_facts(data),
        at=at,
    )


def _promise(data: Node) -> datetime | None:
    by = data.when("next_update_by")
    return _checked({"next_update_by": by}, data.pointer).next_update_by


def _facts(data: Node) -> FactsPatch:
    found = data.get("facts")
    return FactsPatch() if found is None else _checked(found.value, found.pointer)


def _checked(value: Any, pointer: str) -> FactsPatch:
    try:
        return FactsPatch.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "".join(
            f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in first["loc"]
        )
        # Names of unknown fields stand in it, and they may be anything.
        where = line(f"{pointer}{place}")
        raise MalformedError(where, first["msg"].removeprefix("Value error, ")) from None
