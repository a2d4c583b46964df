"""The body of `POST /v1/updates`, and what of a draft may change: facts, not prose."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from templates.facts import FactsPatch, Internal

Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]
Status = Literal[
    "investigating",
    "identified",
    "monitoring",
    "resolved",
    "scheduled",
    "in_progress",
    "verifying",
    "completed",
]
SeverityName = Literal["P0", "P1", "P2", "P3", "planned"]
Visibility = Literal["public", "customers", "accounts", "internal"]
ComponentIds = Annotated[list[Name], Field(max_length=100)]
Note = Annotated[str, StringConstraints(max_length=10_000)]
ENDED: frozenset[str] = frozenset({"resolved", "completed"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IncidentIn(_Strict):
    """Which incident. What later updates omit stays as it was; the first needs a severity."""

    external_id: Name
    severity: SeverityName | None = None
    visibility: Visibility | None = None
    component_ids: ComponentIds | None = None
    lead: Annotated[str, StringConstraints(max_length=200)] | None = None


class AudienceIn(_Strict):
    """Narrows who is told; what is left out does not narrow.

    An empty list is refused: a sender that computed "these accounts" and got none must not tell all.
    """

    segments: Annotated[list[Name], Field(min_length=1, max_length=50)] | None = None
    account_ids: Annotated[list[Name], Field(min_length=1, max_length=10_000)] | None = None
    regions: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None
    exclude: Annotated[list[Name], Field(max_length=10_000)] = []


class UpdateIn(_Strict):
    """One update of one incident, identified by (`source`, `incident.external_id`)."""

    source: Name
    incident: IncidentIn
    status: Status
    facts: FactsPatch = FactsPatch()
    internal: Internal | None = None
    note: Note = ""
    audience: AudienceIn | None = None
    mode: Literal["auto", "draft", "dry_run"] = "auto"


class DraftPatch(_Strict):
    """What of a draft changes; what is left out stays.

    Of `facts` each one given is replaced whole, and null removes it. `internal` and `audience` are
    replaced whole; null means nothing, and everybody.
    """

    facts: FactsPatch | None = None
    internal: Internal | None = None
    note: Note | None = None
    status: Status | None = None
    severity: SeverityName | None = None
    visibility: Visibility | None = None
    component_ids: ComponentIds | None = None
    audience: AudienceIn | None = None

    @field_validator(
        "facts", "note", "status", "severity", "visibility", "component_ids", mode="before"
    )
    @classmethod
    def _is_something(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep what is there")
        return value
