"""When and for what a message is made: everything beside the facts that its words depend on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from templates.brand import Brand
from templates.facts import Facts, changed
from templates.graphemes import shortened

_REFERENCE_LENGTH = 40


class Kind(StrEnum):
    """What an update is to those who read it."""

    ACKNOWLEDGEMENT = "acknowledgement"
    UPDATE = "update"
    WORKAROUND = "workaround"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """One update of one incident.

    `at`: when the update was made, and the end of the incident when `kind` is resolved.
    `subject_title`: the title of the first update sent; a constant subject keeps one mail thread.
    `changed`: names of the facts that differ from the update before (`facts.changed`).
    `visibility`: public, customers, accounts or internal. `zone`: IANA name, for display.
    """

    kind: Kind
    status: str
    severity: str
    revision: int
    incident_ref: str
    incident_url: str
    started_at: datetime
    at: datetime
    brand: Brand
    subject_title: str
    changed: frozenset[str] = frozenset(Facts.model_fields)
    visibility: str = "customers"
    zone: str = "UTC"

    @property
    def has_known_start(self) -> bool:
        """Whether we heard of it before its end: else all that is known is that it is over."""
        return not (self.kind is Kind.RESOLVED and self.revision == 1)

    @property
    def reference(self) -> str:
        """`incident_ref` in a length people can read out; senders may give whole sentences."""
        return shortened(self.incident_ref, _REFERENCE_LENGTH)


def kind_of(previous: Facts | None, current: Facts, *, resolved: bool) -> Kind:
    """What the step from `previous` to `current` is to a reader."""
    if resolved:
        return Kind.RESOLVED
    if current.workaround is not None and "workaround" in changed(previous, current):
        return Kind.WORKAROUND
    return Kind.ACKNOWLEDGEMENT if previous is None else Kind.UPDATE
