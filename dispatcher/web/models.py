"""What the API answers, as models: the route table names them, the description is made from them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from dispatcher.web.lists import Page


class UpdateLinks(BaseModel):
    """Where to look next; `draft` only for one."""

    incident: str
    update: str
    dispatch: str | None
    draft: str | None = None
    page: str

    @property
    def location(self) -> str:
        """The thing that was begun: the dispatch, or the draft."""
        return self.dispatch or self.draft or self.update


class UpdateAccepted(BaseModel):
    """The answer to an update; `missing` names the facts a draft lacks."""

    incident_id: str
    update_id: str
    dispatch_id: str | None
    state: str
    missing: list[str]
    links: UpdateLinks


class RenderingView(BaseModel):
    """One wording, with fallback phrases where a person's words will stand."""

    segment: str | None
    channel: str
    locale: str
    parts: dict[str, str]
    units: int


class Incident(BaseModel):
    """One incident as it stands. `next_update_by`: when its customers were promised to hear more."""

    id: str
    source: str
    external_id: str
    title: str
    severity: str
    status: str
    visibility: str
    lead: str
    component_ids: list[str]
    started_at: datetime
    resolved_at: datetime | None
    next_update_by: datetime | None
    page: str


class Update(BaseModel):
    """One revision of an incident's facts; `state_detail` says why it failed, if it did."""

    id: str
    incident_id: str
    dispatch_id: str | None
    revision: int
    kind: str
    status: str
    severity: str
    visibility: str
    mode: str
    state: str
    state_detail: str
    facts: dict[str, Any]
    internal: dict[str, Any]
    note: str
    created_by: str
    at: datetime


class UpdateWithRenderings(Update):
    """A revision and every wording made from it."""

    renderings: list[RenderingView]


class Dispatch(BaseModel):
    """One fan-out; `deliveries` counts them by status. `external_id`: of its incident."""

    id: str
    update_id: str
    incident_id: str
    external_id: str
    wave: int
    state: str
    paused: bool
    deliveries: dict[str, int]
    created_at: datetime
    planned_at: datetime | None
    completed_at: datetime | None


class DispatchControlled(BaseModel):
    """What a person's decision changed, exactly, and all deliveries by status after it."""

    dispatch_id: str
    changed: int
    deliveries: dict[str, int]


class DeliveryFact(BaseModel):
    """One thing known about a delivery, and since when."""

    fact: str
    at: datetime
    attempt: int
    detail: str


class Delivery(BaseModel):
    """One message to one address, in the words of a `segment`, or of the public post.

    `address` is masked without recipients:read_pii.
    """

    channel: str
    purpose: str
    account: str | None
    segment: str
    contact: str | None
    address: str | None
    status: str
    reason: str | None
    reason_text: str | None
    attempt: int
    sent_at: datetime | None
    settled_at: datetime | None
    timeline: list[DeliveryFact]


class SegmentRule(BaseModel):
    """Accounts that meet all of `when` belong to the segment; nothing: whoever is left."""

    name: str
    when: list[dict[str, Any]]


class SegmentView(BaseModel):
    """One segment with the rules that lead to it; `always` segments are told of every incident."""

    name: str
    always: bool
    accounts: int
    rules: list[SegmentRule]


class SegmentPage(Page[SegmentView]):
    """Segments in the order in which their rules are tried."""


class TemplateView(BaseModel):
    """Whose `voice` a segment reads on a channel, and the file with its words.

    `segment` is null for what is public.
    """

    channel: str
    segment: str | None
    voice: str
    file: str


class TemplatePage(Page[TemplateView]):
    """Whose words are read where, channel by channel; those for everybody come last."""
