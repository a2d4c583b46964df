"""The body of `POST /v1/updates`: facts, not prose. Unknown fields are errors."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

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
ENDED: frozenset[str] = frozenset({"resolved", "completed"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IncidentIn(_Strict):
    """Which incident. What later updates omit stays as it was; the first needs a severity."""

    external_id: Name
    severity: Literal["P0", "P1", "P2", "P3", "planned"] | None = None
    visibility: Literal["public", "customers", "accounts", "internal"] | None = None
    component_ids: Annotated[list[Name], Field(max_length=100)] | None = None
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
    note: Annotated[str, StringConstraints(max_length=10_000)] = ""
    audience: AudienceIn | None = None
    mode: Literal["auto", "draft", "dry_run"] = "auto"
