"""The report as data: what `GET /v1/dispatches/{id}/report` answers and `tidings report` draws.

Durations are seconds since it was decided to send: when the update was taken in, or a draft released.
Moments are UTC, ids are public ids.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

SHARES: Final = (50, 90, 99, 100)
EVERYONE: Final = "all"
PUBLIC: Final = "public"
"""The segment of the public voice, which speaks to nobody in particular."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IncidentHeader(_Row):
    id: str
    source: str
    external_id: str
    severity: str
    status: str
    visibility: str
    started_at: datetime
    resolved_at: datetime | None


class UpdateHeader(_Row):
    """`seq` counts an incident's updates from 1; `status` and `severity` as of this update."""

    id: str
    seq: int
    kind: str
    status: str
    severity: str
    title: str
    at: datetime
    next_update_by: datetime | None


class FirstNotice(_Row):
    """The policy's promise for the first notice of an incident, judged per segment.

    met: everyone who can be reached has proof by the deadline. missed: somebody got it later, or is
    still without proof after it. open: the deadline is ahead and somebody is still without proof.
    """

    deadline: datetime
    state: Literal["met", "missed", "open"]
    on_time: int
    late: int
    waiting: int


class PeopleRow(_Row):
    """People, not messages: each counts once, by the best of their channels; social counts nobody.

    `segment` is "all" for everyone. `people` were to be told, `reachable` have an address that may be
    used. The six that follow add up to `people`. `seconds_to` maps a share of `people` ("50", "90",
    "99", "100") to when that many had proof; null when that has not happened.
    """

    segment: str
    people: int
    reachable: int
    notified: int
    under_way: int
    unproven: int
    unconfirmed: int
    not_reached: int
    withdrawn: int
    seconds_to: Mapping[str, float | None]
    first_notice: FirstNotice | None


class FunnelRow(_Row):
    """Messages of one segment on one channel; each number is part of the one before it.

    `covered` (by a shared inbox) and what may not be sent are no longer `reachable`. `notified` means
    delivered, displayed or posted. `failed` and `waiting` (not settled) are the rest of reachable.
    """

    segment: str
    channel: str
    targeted: int
    covered: int
    reachable: int
    accepted: int
    notified: int
    failed: int
    waiting: int


class FailureRow(_Row):
    """Messages of one channel that did not arrive, by reason; `text` and `advice` are for people."""

    channel: str
    status: str
    reason: str
    text: str
    advice: str
    count: int


class Curve(_Row):
    """People with proof over time: per channel, and "any" by their first channel.

    Each series is a list of (seconds, people so far), at most 200 points; `people` is what 100 % is.
    """

    people: int
    series: Mapping[str, tuple[tuple[float, int], ...]]


class AccountRow(_Row):
    """One customer: people told of how many, when first, and messages per channel and status."""

    account: str
    name: str
    segment: str
    manager: str
    people: int
    notified: int
    first_told_at: datetime | None
    channels: Mapping[str, Mapping[str, int]]


class Why(_Row):
    """Why one channel did not reach one person."""

    channel: str
    status: str
    reason: str
    text: str
    advice: str


class PersonRow(_Row):
    """Somebody to tell in another way. `contact` is the operator's id, empty where none was given."""

    contact: str
    name: str
    account: str
    account_name: str
    segment: str
    why: tuple[Why, ...]


class DispatchReport(_Row):
    """One fan-out wave of one update.

    Lists of accounts and people are cut at their limit; the totals beside them are whole. `totals`
    are messages by status, zeros left out.
    """

    dispatch: str
    state: Literal["planning", "sending", "completed", "cancelled"]
    paused: bool
    wave: int
    incident: IncidentHeader
    update: UpdateHeader
    planned_at: datetime | None
    completed_at: datetime | None
    made_at: datetime
    totals: Mapping[str, int]
    people: tuple[PeopleRow, ...]
    funnel: tuple[FunnelRow, ...]
    failures: tuple[FailureRow, ...]
    curve: Curve
    accounts: tuple[AccountRow, ...]
    accounts_total: int
    could_not_be_reached: tuple[PersonRow, ...]
    could_not_be_reached_total: int
    unconfirmed: tuple[PersonRow, ...]
    unconfirmed_total: int

    @property
    def everyone(self) -> PeopleRow:
        """The row over all segments."""
        return next(row for row in self.people if row.segment == EVERYONE)

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return self.model_dump(mode="json")
