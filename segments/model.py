"""The words of this room: channels, exclusions, the question an audience answers, outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final, TypeAlias

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy

Db: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"
"""A connection, direct or from a pool."""

MAX_ID: Final = 2**63 - 1


class Channel(IntEnum):
    """The codes in `channel` columns. A banner endpoint's address is the product's app user id."""

    EMAIL = 1
    SMS = 2
    SOCIAL = 3
    BANNER = 4


PERSONAL_CHANNELS: Final = frozenset({Channel.EMAIL, Channel.SMS, Channel.BANNER})
"""Channels that reach one contact; the public voice reaches nobody in particular."""


class Exclusion(IntEnum):
    """Why someone in the audience gets nothing on a channel (smallint; 1-29 belong to us)."""

    NO_ADDRESS = 1  # nothing known on this channel
    SUPPRESSED = 2  # the address asked us to stop, or is known to be dead
    NO_CONSENT = 3  # texts need consent, and there is none
    SHARED_INBOX = 4  # another contact with the same address gets the message (plan stage)
    NOT_CONFIGURED = 5  # the channel has no credentials (plan stage)
    CAPPED = 6  # the operator's ceiling for this channel is reached (plan stage)


class SuppressionReason(IntEnum):
    """Why an address must not be used again (smallint in `suppression.reason`)."""

    OPERATOR = 1  # entered by hand or over the API
    OPTED_OUT = 2  # the person said stop
    BOUNCED = 3  # the address does not exist
    COMPLAINED = 4  # marked as spam
    REFUSED_BY_PROVIDER = 5  # the provider's own list has it


AudienceParams: TypeAlias = tuple[
    int,
    int,
    datetime,
    Sequence[int],
    Sequence[str],
    Sequence[int],
    Sequence[int],
    Sequence[str],
    Sequence[str],
    str,
    bool,
    Sequence[str],
    Sequence[int],
    Sequence[str],
    Sequence[int],
]


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """Whom one update is for. Empty means "not restricted" for every sequence but the rules.

    `rule_*` are parallel: rule i lets `rule_segments[i]` be told on `rule_channels[i]` (a personal
    channel's code) when the contact has one of `rule_roles[i]` (comma separated; '' is anyone).
    `visibility` is public, customers, accounts (needs `account_ids`) or internal (only
    `always_segments` are told). With `quiet_binds`, quiet hours postpone.

    Raises ValueError for a combination that would tell the wrong people.
    """

    rule_segments: tuple[str, ...]
    rule_channels: tuple[int, ...]
    rule_roles: tuple[str, ...]
    component_ids: tuple[int, ...] = ()
    regions: tuple[str, ...] = ()
    account_ids: tuple[int, ...] = ()
    exclude_account_ids: tuple[int, ...] = ()
    segments: tuple[str, ...] = ()
    always_segments: tuple[str, ...] = ()
    visibility: str = "customers"
    quiet_binds: bool = False

    def __post_init__(self) -> None:
        pairs = list(zip(self.rule_segments, self.rule_channels, strict=False))
        if not len(self.rule_segments) == len(self.rule_channels) == len(self.rule_roles):
            raise ValueError("rule_segments, rule_channels and rule_roles differ in length.")
        if len(set(pairs)) != len(pairs):
            raise ValueError("A segment and channel occurs twice in the rules.")
        if not PERSONAL_CHANNELS.issuperset(self.rule_channels):
            raise ValueError("Rules may only name channels that reach a contact: 1, 2 and 4.")
        if self.visibility not in {"public", "customers", "accounts", "internal"}:
            raise ValueError(f"There is no visibility {self.visibility!r}.")
        if self.visibility == "accounts" and not self.account_ids:
            raise ValueError("Visibility 'accounts' needs account_ids.")

    def params(self, lo: int, hi: int, now: datetime, suppressed: Sequence[int]) -> AudienceParams:
        """Arguments of AUDIENCE_SQL for contacts with `lo < id <= hi`, in placeholder order."""
        return (
            lo,
            hi,
            now,
            sorted(set(self.component_ids)),
            self.regions,
            self.account_ids,
            self.exclude_account_ids,
            self.segments,
            self.always_segments,
            self.visibility,
            self.quiet_binds,
            self.rule_segments,
            self.rule_channels,
            self.rule_roles,
            suppressed,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one record. `line` counts from 1; 0 where there is no file."""

    line: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some records. With problems and without `keep_going`, nothing was written."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    problems: tuple[Problem, ...] = ()
