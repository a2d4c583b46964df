"""What may happen that other systems are told of, as data.

Things are named by their numbers, as in the database; `body_of` turns them into public ids and addresses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    WithJsonSchema,
)

from dispatcher.ids import Signer

BODY_LIMIT: Final = 20_000
"""Bytes: what Standard Webhooks asks a message to stay below."""
MOST_FAILURES: Final = 100
MOST_COMPONENTS: Final = 10


class EventType(StrEnum):
    """What an endpoint can ask to be told; `webhook.test` is sent by the test button alone."""

    UPDATE_PUBLISHED = "update.published"
    DISPATCH_COMPLETED = "dispatch.completed"
    DELIVERY_FAILED = "delivery.failed"
    SOURCE_ERROR = "source.error"
    WEBHOOK_TEST = "webhook.test"


SUBSCRIBABLE: Final = tuple(item for item in EventType if item is not EventType.WEBHOOK_TEST)


@dataclass(frozen=True, slots=True)
class Outside:
    """How numbers of ours are called outside."""

    signer: Signer
    public_url: str


def _public(kind: str) -> PlainSerializer:
    def as_public_id(number: int, info: SerializationInfo) -> int | str:
        outside = info.context
        return outside.signer.public_id(kind, number) if isinstance(outside, Outside) else number

    return PlainSerializer(as_public_id, return_type=int | str, when_used="unless-none")


def _report_url(dispatch: int, info: SerializationInfo) -> int | str:
    outside = info.context
    if not isinstance(outside, Outside):
        return dispatch
    return f"{outside.public_url}/v1/dispatches/{outside.signer.public_id('dsp', dispatch)}/report"


_TEXT: Final = WithJsonSchema({"type": "string"})
IncidentNumber = Annotated[int, _public("inc"), _TEXT]
UpdateNumber = Annotated[int, _public("upd"), _TEXT]
DispatchNumber = Annotated[int, _public("dsp"), _TEXT]
SourceNumber = Annotated[int, _public("src"), _TEXT]
ReportOf = Annotated[int, PlainSerializer(_report_url, return_type=int | str), _TEXT]


class _Data(BaseModel):
    # What another version kept may have more fields; what is written here is checked by its types.
    model_config = ConfigDict(extra="ignore", frozen=True)


class UpdatePublished(_Data):
    """An update is worded, approved and on its way. `component_ids`: the first ten.

    `visibility` says whom it is for: not everything that is published is public.
    """

    incident_id: IncidentNumber
    update_id: UpdateNumber
    dispatch_id: DispatchNumber
    source: str
    external_id: str
    revision: int
    kind: str
    status: str
    severity: str
    visibility: str
    title: str
    impact: str
    component_ids: Annotated[tuple[str, ...], Field(max_length=MOST_COMPONENTS)]
    next_update_by: AwareDatetime | None


class DispatchCompleted(_Data):
    """Nothing of a dispatch waits any more. `deliveries`: how many by shown status, at that moment.

    Receipts may come later: what a number is now, the report says.
    """

    incident_id: IncidentNumber
    update_id: UpdateNumber
    dispatch_id: DispatchNumber
    source: str
    external_id: str
    outcome: Literal["completed", "cancelled"]
    started_at: AwareDatetime
    ended_at: AwareDatetime
    total: int
    deliveries: Mapping[str, int]
    report_url: ReportOf


class FailedDelivery(_Data):
    """One message that did not arrive and will not be sent again; never an address, never a name."""

    account: str
    contact: str
    channel: str
    purpose: str
    status: Literal["failed", "expired", "unconfirmed"]
    reason: str
    at: AwareDatetime


class DeliveryFailed(_Data):
    """Some deliveries of a dispatch failed for good. `reasons`: the words of each reason that occurs."""

    incident_id: IncidentNumber
    update_id: UpdateNumber
    dispatch_id: DispatchNumber
    source: str
    external_id: str
    reasons: Mapping[str, str]
    deliveries: Annotated[tuple[FailedDelivery, ...], Field(min_length=1, max_length=MOST_FAILURES)]


class SourceError(_Data):
    """What a source sent could not be used. `error`: the word of the inspector, such as `malformed`.

    Told at most once an hour: `count` came since the last time, the first of them all at `since`.
    """

    source_id: SourceNumber
    name: Annotated[str, Field(max_length=200)]
    kind: Annotated[str, Field(max_length=50)]
    error: Annotated[str, Field(max_length=50)]
    detail: Annotated[str, Field(max_length=500)]
    count: int = 1
    since: AwareDatetime | None = None


class WebhookTest(_Data):
    """Somebody pressed the button."""

    message: str = "This is a test. If you can read it and its signature is right, all is well."


Data = UpdatePublished | DispatchCompleted | DeliveryFailed | SourceError | WebhookTest

MODELS: Final[Mapping[EventType, type[Data]]] = {
    EventType.UPDATE_PUBLISHED: UpdatePublished,
    EventType.DISPATCH_COMPLETED: DispatchCompleted,
    EventType.DELIVERY_FAILED: DeliveryFailed,
    EventType.SOURCE_ERROR: SourceError,
    EventType.WEBHOOK_TEST: WebhookTest,
}


def stored(data: Data) -> dict[str, Any]:
    """As the database keeps it: numbers, and times as text."""
    return data.model_dump(mode="json")


def body_of(
    event_type: EventType, kept: Mapping[str, Any], *, at: datetime, outside: Outside
) -> bytes:
    """The body of a message about what was kept: the same bytes at each attempt."""
    data = MODELS[event_type].model_validate(kept)
    shown = data.model_dump(mode="json", context=outside)
    stamp = at.isoformat().replace("+00:00", "Z")
    return orjson.dumps({"type": event_type.value, "timestamp": stamp, "data": shown})
