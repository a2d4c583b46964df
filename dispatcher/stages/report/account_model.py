"""One account as data: what it was told over all updates, and what became of it in one dispatch."""

from datetime import datetime

from dispatcher.stages.report.model import (
    IncidentHeader,
    PersonRow,
    PersonWord,
    Row,
    StandingWord,
    UpdateHeader,
)


class TimelineEvent(Row):
    """One fact a provider, or a banner, reported about one attempt."""

    at: datetime
    fact: str
    attempt: int
    detail: str


class DeliveryRow(Row):
    """One message to one contact. `purpose` is notice unless it is a copy or a test."""

    contact: str
    name: str
    channel: str
    address: str
    purpose: str
    status: str
    reason: str
    reason_text: str
    advice: str
    attempt: int
    maybe_duplicate: bool
    sent_at: datetime | None
    settled_at: datetime | None
    timeline: tuple[TimelineEvent, ...]


class AccountUpdate(Row):
    """One update that concerned the account, with everything that was sent or withheld."""

    update: str
    incident: str
    incident_external_id: str
    seq: int
    kind: str
    status: str
    severity: str
    title: str
    at: datetime
    first_told_at: datetime | None
    deliveries: tuple[DeliveryRow, ...]


class AccountDeliveries(Row):
    """Newest update first; `next_cursor` is null on the last page."""

    account: str
    name: str
    segment: str
    manager: str
    data: tuple[AccountUpdate, ...]
    next_cursor: str | None


class PersonInDispatch(Row):
    """One person of the account: the best of their channels is where they stand."""

    contact: str
    name: str
    standing: PersonWord
    first_told_at: datetime | None
    deliveries: tuple[DeliveryRow, ...]


class AccountInDispatch(Row):
    """One account in one dispatch, as it stands at this moment.

    `not_reached` are to be phoned, `ask` may or may not have been told; both with what was tried on
    each channel, why it failed and what to do. `people` are sorted worst first, then by name.
    """

    dispatch: str
    incident: IncidentHeader
    update: UpdateHeader
    account: str
    name: str
    segment: str
    manager: str
    standing: StandingWord
    first_told_at: datetime | None
    people: tuple[PersonInDispatch, ...]
    not_reached: tuple[PersonRow, ...]
    ask: tuple[PersonRow, ...]
