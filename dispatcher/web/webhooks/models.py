"""What webhooks look like at the API."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dispatcher.announce import EventType
from dispatcher.stages.webhooks import AttemptError, State, Try
from dispatcher.web.lists import Page, PageQuery

Subscribed = Literal[
    EventType.UPDATE_PUBLISHED,
    EventType.DISPATCH_COMPLETED,
    EventType.DELIVERY_FAILED,
    EventType.SOURCE_ERROR,
]
Url = Annotated[str, StringConstraints(max_length=2000)]
Types = Annotated[frozenset[Subscribed], Field(min_length=1)]
Description = Annotated[str, StringConstraints(max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WebhookIn(_Strict):
    """An endpoint to be told. `url`: https, public unless the operator allows its network."""

    url: Url
    events: Types
    description: Description = ""


class WebhookPatch(_Strict):
    """What is to change; the rest stays."""

    url: Url | None = None
    events: Types | None = None
    description: Description | None = None


class RotateWebhookIn(_Strict):
    """Messages are signed with the old secret too for `overlap_hours` more."""

    overlap_hours: Annotated[int, Field(ge=0, le=24 * 30)] = 24


class WebhookView(BaseModel):
    """An endpoint as it is; never its secret. `failing_since`: it has done nothing but fail since.

    `disabled`: person, gone (it answered 410) or failing (for five days); null while it is told.
    """

    id: str
    url: str
    events: list[EventType]
    description: str
    created_at: datetime
    created_by: str
    disabled: Literal["person", "gone", "failing"] | None
    disabled_at: datetime | None
    failing_since: datetime | None


class WebhookWithSecret(WebhookView):
    """An endpoint and its secret, this once: `whsec_` and what messages are signed with in base64."""

    secret: str


class WebhookPage(Page[WebhookView]):
    """Endpoints, in the order in which they were made."""


class LogQuery(PageQuery):
    """Where in the log, and what of it."""

    state: State | None = None


class WebhookDelivery(BaseModel):
    """One message and its attempts, oldest first. `message_id`: the `webhook-id` that it carries."""

    id: str
    message_id: str
    type: EventType
    at: datetime
    state: State
    due_at: datetime | None
    ended_at: datetime | None
    attempts: tuple[Try, ...]


class WebhookDeliveryPage(Page[WebhookDelivery]):
    """The log of an endpoint, newest first, a month of it."""


class WebhookTested(BaseModel):
    """What came back. `status` null without an answer, `error` empty where all is well."""

    delivered: bool
    delivery_id: str
    message_id: str
    status: int | None
    ms: int
    error: AttemptError
    excerpt: str
