"""Dispatch state (ours) and evidence (theirs) apart, and the one function that shows a status from both.

Because the shown status is computed from a set of facts, the order and repetition of receipts cannot
matter (reference: reliability B2).
"""

from enum import IntEnum
from typing import assert_never

from channels.model import Fact


class SliceState(IntEnum):
    """Where a slice stands; the truth that jobs merely wake."""

    WAITING = 0
    RELEASED = 1
    IN_FLIGHT = 2
    AMBIGUOUS = 3
    DONE = 4
    HELD = 5


class DeliveryState(IntEnum):
    """What we decided or did about one delivery. PLANNED is the only state that may still send."""

    PLANNED = 0
    ACCEPTED = 1
    REJECTED = 2
    UNCONFIRMED = 3
    CANCELLED = 4
    SUPERSEDED = 5
    SUPPRESSED = 6
    EXPIRED = 7
    UNREACHABLE = 8


# One answer that takes a whole slice is written once, on the slice: what is planned in a slice that is
# done was accepted when it ended. Of a delivery d and its slice s:
SHOWN_STATE = (
    f"(case when d.state = {DeliveryState.PLANNED:d} and s.state = {SliceState.DONE:d} "
    f"then {DeliveryState.ACCEPTED:d}::smallint else d.state end)"
)
SENT_AT = (
    f"coalesce(d.sent_at, case when d.state = {DeliveryState.PLANNED:d} "
    f"and s.state = {SliceState.DONE:d} then s.ended_at end)"
)
SETTLED_AT = (
    f"(case when d.state = {DeliveryState.PLANNED:d} and s.state = {SliceState.DONE:d} "
    "then s.ended_at else d.done_at end)"
)


class Purpose(IntEnum):
    """Why a delivery exists; part of its key, so a notice and its copy never collide."""

    NOTICE = 1
    MANAGER_COPY = 2
    ESCALATION = 3
    TASK = 4
    TEST = 5
    REPORT = 6


class Shown(IntEnum):
    """The status people read. The number is its place in a slice's `n_by_status`."""

    QUEUED = 0
    SENDING = 1
    ACCEPTED = 2
    DELIVERED = 3
    DISPLAYED = 4
    POSTED = 5
    RETRYING = 6
    FAILED = 7
    EXPIRED = 8
    SUPPRESSED = 9
    UNREACHABLE = 10
    CANCELLED = 11
    SUPERSEDED = 12
    UNCONFIRMED = 13

    @property
    def word(self) -> str:
        """Lower-case name, as used at the API."""
        return self.name.lower()


NOTIFIED = frozenset({Shown.DELIVERED, Shown.DISPLAYED, Shown.POSTED})
UNSETTLED = frozenset({Shown.QUEUED, Shown.SENDING, Shown.RETRYING})
STATUS_COUNT = len(Shown)

_FACT_BITS = {fact: 1 << place for place, fact in enumerate(Fact)}
EARLIER_ATTEMPTS_SHIFT = 16
_CURRENT_MASK = (1 << EARLIER_ATTEMPTS_SHIFT) - 1


def bit(fact: Fact) -> int:
    """The fact's place in the low half of `delivery.evidence`."""
    return _FACT_BITS[fact]


def bits(*facts: Fact) -> int:
    """Several facts as one mask."""
    return sum(_FACT_BITS[fact] for fact in facts)


_FACT_CODES = {fact: place for place, fact in enumerate(Fact)}
_FACTS_BY_CODE = {code: fact for fact, code in _FACT_CODES.items()}


def fact_code(fact: Fact) -> int:
    """The smallint stored in `receipt.fact`."""
    return _FACT_CODES[fact]


def fact_from_code(code: int) -> Fact:
    """The fact stored as `code`."""
    return _FACTS_BY_CODE[code]


TOLD_MASK = bits(
    Fact.DELIVERED, Fact.OPENED, Fact.CLICKED, Fact.DISPLAYED, Fact.DISMISSED, Fact.POSTED
)
TAKEN_MASK = TOLD_MASK | bits(
    Fact.QUEUED,
    Fact.SENT,
    Fact.DEFERRED,
    Fact.UNDELIVERED,
    Fact.BOUNCED_SOFT,
    Fact.BOUNCED_HARD,
    Fact.DROPPED,
    Fact.COMPLAINED,
    Fact.UNSUBSCRIBED,
)
_REFUSED = bits(Fact.BOUNCED_HARD, Fact.DROPPED)
_FAILED = _REFUSED | bit(Fact.UNDELIVERED)
_DISPLAYED = bits(Fact.DISPLAYED, Fact.DISMISSED)
_DELIVERED = bits(Fact.DELIVERED, Fact.OPENED, Fact.CLICKED)


def _in_any_attempt(mask: int) -> int:
    return mask | mask << EARLIER_ATTEMPTS_SHIFT


# Sending again is right after a failure, wrong while an earlier attempt has arrived or may yet.
TOLD_IN_ANY_ATTEMPT = _in_any_attempt(TOLD_MASK)
TAKEN_IN_ANY_ATTEMPT = _in_any_attempt(TAKEN_MASK)
FAILED_IN_ANY_ATTEMPT = _in_any_attempt(_FAILED)


def next_attempt(evidence: int) -> int:
    """Evidence of a delivery that starts another attempt: what was current becomes earlier."""
    current = evidence & _CURRENT_MASK
    earlier = evidence >> EARLIER_ATTEMPTS_SHIFT
    return (current | earlier) << EARLIER_ATTEMPTS_SHIFT


def from_evidence(evidence: int) -> Shown | None:
    """What the facts alone prove, best over attempts; None when they prove nothing about the outcome.

    A hard bounce beats an earlier "delivered" of the same attempt: late bounces are real.
    """
    current, earlier = evidence & _CURRENT_MASK, evidence >> EARLIER_ATTEMPTS_SHIFT
    halves = [half & TOLD_MASK for half in (current, earlier) if not half & _REFUSED]
    told = 0
    for half in halves:
        told |= half
    if told & bit(Fact.POSTED):
        return Shown.POSTED
    if told & _DISPLAYED:
        return Shown.DISPLAYED
    if told & _DELIVERED:
        return Shown.DELIVERED
    if current & _FAILED:
        return Shown.FAILED
    if current & TAKEN_MASK:
        return Shown.ACCEPTED
    return None


def shown(state: DeliveryState, slice_state: SliceState, attempt: int, evidence: int) -> Shown:
    """The status of one delivery: facts first, then what we decided, then where its slice stands."""
    if (proved := from_evidence(evidence)) is not None:
        return proved
    if state is DeliveryState.PLANNED:
        return _shown_while_planned(slice_state, attempt)
    return _SETTLED[state]


_SETTLED = {
    DeliveryState.ACCEPTED: Shown.ACCEPTED,
    DeliveryState.REJECTED: Shown.FAILED,
    DeliveryState.UNCONFIRMED: Shown.UNCONFIRMED,
    DeliveryState.CANCELLED: Shown.CANCELLED,
    DeliveryState.SUPERSEDED: Shown.SUPERSEDED,
    DeliveryState.SUPPRESSED: Shown.SUPPRESSED,
    DeliveryState.EXPIRED: Shown.EXPIRED,
    DeliveryState.UNREACHABLE: Shown.UNREACHABLE,
}


def _shown_while_planned(slice_state: SliceState, attempt: int) -> Shown:
    match slice_state:
        case SliceState.WAITING | SliceState.RELEASED | SliceState.HELD:
            return Shown.QUEUED if attempt == 1 else Shown.RETRYING
        case SliceState.IN_FLIGHT:
            return Shown.SENDING
        case SliceState.AMBIGUOUS:
            return Shown.UNCONFIRMED
        case SliceState.DONE:
            return Shown.ACCEPTED
        case _:
            assert_never(slice_state)


_CURRENT_FACTS = f"(d.evidence & {_CURRENT_MASK})"
_EARLIER_FACTS = f"(d.evidence >> {EARLIER_ATTEMPTS_SHIFT})"
_PROVED_FACTS = f"""((case when {_CURRENT_FACTS} & {_REFUSED} = 0 then {_CURRENT_FACTS} else 0 end)
        | (case when {_EARLIER_FACTS} & {_REFUSED} = 0 then {_EARLIER_FACTS} else 0 end))"""
_WHEN_SETTLED = " ".join(f"when {state:d} then {status:d}" for state, status in _SETTLED.items())
# The code of what `shown` says of a delivery d and its slice s, for statements that must choose by it.
SHOWN_STATUS = f"""(case
    when {_PROVED_FACTS} & {bit(Fact.POSTED)} <> 0 then {Shown.POSTED:d}
    when {_PROVED_FACTS} & {_DISPLAYED} <> 0 then {Shown.DISPLAYED:d}
    when {_PROVED_FACTS} & {_DELIVERED} <> 0 then {Shown.DELIVERED:d}
    when {_CURRENT_FACTS} & {_FAILED} <> 0 then {Shown.FAILED:d}
    when {_CURRENT_FACTS} & {TAKEN_MASK} <> 0 then {Shown.ACCEPTED:d}
    when d.state <> {DeliveryState.PLANNED:d} then (case d.state {_WHEN_SETTLED} end)
    else (case s.state
        when {SliceState.IN_FLIGHT:d} then {Shown.SENDING:d}
        when {SliceState.AMBIGUOUS:d} then {Shown.UNCONFIRMED:d}
        when {SliceState.DONE:d} then {Shown.ACCEPTED:d}
        else (case when d.attempt = 1 then {Shown.QUEUED:d} else {Shown.RETRYING:d} end) end)
    end)"""
