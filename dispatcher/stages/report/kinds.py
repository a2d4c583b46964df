"""What the status of a delivery depends on, as one number, and what follows from it.

`rules.states.shown` decides in Python, once per kind; everything else is SQL that joins on the number.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple, assert_never

from channels.model import ChannelKind
from dispatcher.rules.states import (
    EARLIER_ATTEMPTS_SHIFT,
    SHOWN_STATE,
    TAKEN_MASK,
    DeliveryState,
    Shown,
    SliceState,
    shown,
)
from dispatcher.stages.report.model import PERSON_WORDS, AccountStanding, PersonWord

WITHHELD: Final = frozenset({Shown.SUPPRESSED, Shown.UNREACHABLE})
"""Statuses of what may not be sent at all: no address, no consent, no credentials."""

_AGAIN, _PASSIVE = 1, 2
_SLICE_SHIFT, _STATE_SHIFT, _EVIDENCE_SHIFT = 4, 8, 16
_FOUR_BITS = 15

# Over `d` (delivery) and `s` (its slice); `kind` below takes it apart. Parentheses: to PostgreSQL << and |
# are operators of one rank.
KIND: Final = f"""((d.evidence::bigint << {_EVIDENCE_SHIFT}) | ({SHOWN_STATE}::bigint << {_STATE_SHIFT})
        | (s.state::bigint << {_SLICE_SHIFT})
        | case when d.channel = {ChannelKind.BANNER.code} then {_PASSIVE} else 0 end
        | case when d.attempt > 1 then {_AGAIN} else 0 end)"""


class Standing(IntEnum):
    """Where a person stands with one update, best first: the best of their deliveries counts."""

    NOTIFIED = 0  # proof: delivered or displayed
    UNDER_WAY = 1  # queued, sending or retrying
    UNPROVEN = 2  # a provider took it, no proof yet
    UNCONFIRMED = 3  # nobody knows whether it left
    NOT_REACHED = 4  # every way failed; a banner nobody has looked at is no way yet
    WITHDRAWN = 5  # cancelled, or replaced by a newer update

    @property
    def word(self) -> PersonWord:
        """Lower-case name, as used at the API."""
        return PERSON_WORDS[self]


class Kind(NamedTuple):
    """One kind; `usable`: there was an address that might be used, `taken`: a provider had it for certain."""

    number: int
    shown: Shown
    standing: Standing
    taken: bool
    usable: bool


def kind(number: int) -> Kind:
    """What follows from the parts that KIND put together."""
    evidence = number >> _EVIDENCE_SHIFT
    state = DeliveryState(number >> _STATE_SHIFT & _FOUR_BITS)
    slice_state = SliceState(number >> _SLICE_SHIFT & _FOUR_BITS)
    status = shown(state, slice_state, 2 if number & _AGAIN else 1, evidence)
    return Kind(
        number,
        status,
        standing(status, passive=bool(number & _PASSIVE)),
        taken_by_provider(state, evidence),
        status not in WITHHELD,
    )


def standing(status: Shown, *, passive: bool) -> Standing:
    """What one delivery's status means for its person; `passive`: it waits for them, as banners do."""
    match status:
        case Shown.DELIVERED | Shown.DISPLAYED | Shown.POSTED:
            return Standing.NOTIFIED
        case Shown.QUEUED | Shown.SENDING | Shown.RETRYING:
            return Standing.UNDER_WAY
        case Shown.ACCEPTED:
            return Standing.NOT_REACHED if passive else Standing.UNPROVEN
        case Shown.UNCONFIRMED:
            return Standing.UNCONFIRMED
        case Shown.FAILED | Shown.EXPIRED | Shown.SUPPRESSED | Shown.UNREACHABLE:
            return Standing.NOT_REACHED
        case Shown.CANCELLED | Shown.SUPERSEDED:
            return Standing.WITHDRAWN
        case _:
            assert_never(status)


def taken_by_provider(state: DeliveryState, evidence: int) -> bool:
    """Whether some attempt was certainly accepted, by answer or by receipt."""
    return state is DeliveryState.ACCEPTED or bool(
        (evidence | evidence >> EARLIER_ATTEMPTS_SHIFT) & TAKEN_MASK
    )


def account_standing(people: Mapping[Standing, int]) -> AccountStanding:
    """How an account stands, so many people of which stand so; `accounts.py` says the same in SQL."""
    waiting = people.get(Standing.UNDER_WAY, 0) + people.get(Standing.UNPROVEN, 0)
    notified = people.get(Standing.NOTIFIED, 0)
    if people.get(Standing.UNCONFIRMED, 0) + people.get(Standing.NOT_REACHED, 0):
        return AccountStanding.PARTLY_TOLD if notified + waiting else AccountStanding.NOT_TOLD
    if waiting:
        return AccountStanding.WAITING
    return AccountStanding.TOLD if notified else AccountStanding.WITHDRAWN
