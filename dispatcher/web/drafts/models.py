"""Drafts as the API shows them. Times that pass change nothing here, for a version is what is shown."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dispatcher.stages.accept.body import SeverityName
from dispatcher.web.lists import Page, PageQuery

Proposes = Literal["opening", "update", "resolution"]


class DraftLinks(BaseModel):
    """Where to look, and what can be done."""

    incident: str
    update: str
    draft: str
    preview: str
    submit: str
    revisions: str


class DraftSummary(BaseModel):
    """A draft in the list.

    `proposes`: the first word of an incident, another one, or its end. `missing`: what must be said
    before it can leave. `overtaken`: a newer update left, so it cannot leave any more. `changes`: how
    often it was changed since it was written, and `changed_by` by whom last.
    """

    id: str
    incident_id: str
    source: str
    external_id: str
    revision: int
    proposes: Proposes
    title: str | None
    status: str
    severity: str
    visibility: str
    component_ids: list[str]
    missing: list[str]
    overtaken: bool
    created_by: str
    at: datetime
    changes: int
    changed_by: str | None
    changed_at: datetime | None


class AudienceView(BaseModel):
    """Who is told, as it may be sent back; empty lists do not narrow."""

    segments: list[str]
    account_ids: list[str]
    regions: list[str]
    exclude: list[str]


class Draft(DraftSummary):
    """A draft, all of it. Its ETag is what If-Match names."""

    kind: str
    facts: dict[str, Any]
    internal: dict[str, Any]
    note: str
    audience: AudienceView
    links: DraftLinks


class DraftPage(Page[DraftSummary]):
    """Drafts, newest first."""


class DraftQuery(PageQuery):
    """`incident`: an id, inc_…; `source`: the name under which incidents of a sender are known.

    `severity`: only drafts that say so.
    """

    incident: Annotated[str, Field(max_length=100)] | None = None
    source: Annotated[str, Field(max_length=200)] | None = None
    severity: SeverityName | None = None


class DiscardQuery(BaseModel):
    """`why` stands with the update from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    why: Annotated[str, Field(max_length=500)] = ""


class Discarded(BaseModel):
    """A draft that shall not leave."""

    update_id: str
    state: Literal["cancelled"] = "cancelled"
    state_detail: str


class DraftRevision(BaseModel):
    """One change of a draft; `former` is what stood in the fields before, `facts` always whole."""

    number: int
    at: datetime
    made_by: str
    action: str
    fields: list[str]
    former: dict[str, Any]


class RevisionPage(Page[DraftRevision]):
    """Changes of a draft, the newest first."""
