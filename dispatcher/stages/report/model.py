"""The report as data: what `GET /v1/dispatches/{id}/report` answers and `tidings report` draws.

Durations are seconds since it was decided to send: when the update was taken in, or a draft released.
Moments are UTC, ids are public ids.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

SHARES: Final = (50, 90, 99, 100)
EVERYONE: Final = "all"
PUBLIC: Final = "public"
"""The segment of the public voice, which speaks to nobody in particular."""


PersonWord = Literal["notified", "under_way", "unproven", "unconfirmed", "not_reached", "withdrawn"]
PERSON_WORDS: Final[tuple[PersonWord, ...]] = get_args(PersonWord)
"""In the order of `Standing`: where one person stands, best first."""
StandingWord = Literal["not_told", "partly_told", "waiting", "told", "withdrawn"]
_STANDING_WORDS: Final[tuple[StandingWord, ...]] = get_args(StandingWord)


class AccountStanding(IntEnum):
    """How one customer as a whole stands with an update, worst first."""

    NOT_TOLD = 0  # nobody there has proof, and nothing is on its way any more
    PARTLY_TOLD = 1  # somebody there could not be reached, or nobody knows whether they were
    WAITING = 2  # nobody is lost so far; for somebody it is under way or without proof
    TOLD = 3  # everybody there who was to be told has proof
    WITHDRAWN = 4  # it was cancelled or replaced for everybody there

    @property
    def word(self) -> StandingWord:
        """Lower-case name, as used at the API."""
        return _STANDING_WORDS[self]


class Row(BaseModel):
    """Immutable, and closed: a field that is not here is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IncidentHeader(Row):
    """The incident a report is about, as it stands."""

    id: str
    source: str
    external_id: str
    severity: str
    status: str
    visibility: str
    started_at: datetime
    resolved_at: datetime | None


class UpdateHeader(Row):
    """`seq` counts an incident's updates from 1; `status` and `severity` as of this update."""

    id: str
    seq: int
    kind: str
    status: str
    severity: str
    title: str
    at: datetime
    next_update_by: datetime | None


class FirstNotice(Row):
    """The policy's promise for the first notice of an incident, judged per segment.

    met: everyone who can be reached has proof by the deadline. missed: somebody got it later, or is
    still without proof after it. open: the deadline is ahead and somebody is still without proof.
    """

    deadline: datetime
    state: Literal["met", "missed", "open"]
    on_time: int
    late: int
    waiting: int


class PeopleCount(Row):
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


class PeopleRow(PeopleCount):
    """As `PeopleCount`, and how the promise of the first notice stands."""

    first_notice: FirstNotice | None


class FunnelRow(Row):
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


class FailureRow(Row):
    """Messages of one channel that did not arrive, by reason; `text` and `advice` are for people."""

    channel: str
    status: str
    reason: str
    text: str
    advice: str
    count: int


class Curve(Row):
    """People with proof over time: per channel, and "any" by their first channel.

    Each series is a list of (seconds, people so far), at most 200 points; `people` is what 100 % is.
    """

    people: int
    series: Mapping[str, tuple[tuple[float, int], ...]]


class AccountRow(Row):
    """One customer of one dispatch: how many of its people were told, and when the first of them.

    `waiting` (under way or without proof), `unconfirmed`, `not_reached` and `notified` count people;
    `statuses` and `channels` count messages, by status and by channel and status. `account` is the
    operator's id.
    """

    account: str
    name: str
    segment: str
    manager: str
    standing: StandingWord
    people: int
    notified: int
    waiting: int
    unconfirmed: int
    not_reached: int
    first_told_at: datetime | None
    statuses: Mapping[str, int]
    channels: Mapping[str, Mapping[str, int]]


class AccountPage(Row):
    """Accounts of one dispatch, worst first, then by name; `next_cursor` is null on the last page.

    `as_of` is when they were counted, null when they have not been yet; `data` is empty then.
    """

    dispatch: str
    as_of: datetime | None
    data: tuple[AccountRow, ...]
    next_cursor: str | None


class Why(Row):
    """Why one channel did not reach one person."""

    channel: str
    status: str
    reason: str
    text: str
    advice: str


class PersonRow(Row):
    """Somebody to tell in another way. `contact` is the operator's id, empty where none was given."""

    contact: str
    name: str
    account: str
    account_name: str
    segment: str
    why: tuple[Why, ...]


class DispatchReport(Row):
    """One fan-out wave of one update.

    `totals` (messages by status) and `channels` (by channel and status) are of this very moment, zeros
    left out. Everything from `people` on was counted at `as_of`, and `stale` says that something has
    changed since; a large dispatch is counted now and then. `as_of` is null while it is being counted
    for the first time: the rest is empty then, which means unknown and not none.

    `not_reached` should have been told but were not, `ask` may or may not have been. Both lists, and
    `accounts`, are cut; the totals beside them are whole. `accounts_cursor` continues `accounts` at
    `GET /v1/dispatches/{id}/accounts`.
    """

    dispatch: str
    state: Literal["planning", "sending", "completed", "cancelled"]
    paused: bool
    wave: int
    incident: IncidentHeader
    update: UpdateHeader
    decided_at: datetime
    planned_at: datetime | None
    completed_at: datetime | None
    made_at: datetime
    totals: Mapping[str, int]
    channels: Mapping[str, Mapping[str, int]]
    as_of: datetime | None
    stale: bool
    people: tuple[PeopleRow, ...]
    funnel: tuple[FunnelRow, ...]
    failures: tuple[FailureRow, ...]
    curve: Curve
    accounts: tuple[AccountRow, ...]
    accounts_total: int
    accounts_cursor: str | None
    not_reached: tuple[PersonRow, ...]
    not_reached_total: int
    ask: tuple[PersonRow, ...]
    ask_total: int

    @property
    def counted(self) -> bool:
        """Whether people, funnel, failures, curve, accounts and lists are known."""
        return self.as_of is not None

    @property
    def everyone(self) -> PeopleRow:
        """The row over all segments; LookupError while nothing is counted."""
        for row in self.people:
            if row.segment == EVERYONE:
                return row
        raise LookupError("the dispatch is still being counted")

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return self.model_dump(mode="json")
