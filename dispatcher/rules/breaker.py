"""When a sender is stopped, for how long, and when it is trusted again: a circuit breaker, as arithmetic.

Closed: everything leaves. Open: nothing does until the pause is over. Probing: the pause is over, and a
few messages ask whether the provider is back; the answer closes the breaker, or opens it for longer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from channels.model import Accepted, Deferred, Reason, Rejected, SendResult, Unclear

# Requests in a row whose end is unknown. Each of them leaves its people in doubt: a thousand where a
# request is for many, one where it is for one.
MOST_DOUBTS_BATCH: Final = 3
MOST_DOUBTS_SINGLE: Final = 5
SHORTEST_PAUSE: Final = timedelta(milliseconds=100)
_MOST_TRIPS: Final = 1000


class Why(StrEnum):
    """What stopped a sender; stored as `sender.paused_why` and shown to people."""

    THROTTLED = "throttled"
    PROVIDER_DOWN = "provider_down"
    ACCOUNT_PROBLEM = "account_problem"
    PROVIDER_UNCLEAR = "provider_unclear"


class BreakerState(StrEnum):
    """Whether a sender sends."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


_WHY: Final[Mapping[Reason, Why]] = {
    Reason.THROTTLED: Why.THROTTLED,
    Reason.PROVIDER_DOWN: Why.PROVIDER_DOWN,
    Reason.ACCOUNT_PROBLEM: Why.ACCOUNT_PROBLEM,
}

# A request for many costs its provider as much as one for few; these are in doubt if it fails.
MOST_ASKED: Final = 10
# What those get who wait for the answer to them. It burns no attempt, and tells nothing of the sender.
SPARED: Final = Deferred(
    Reason.NOT_TRIED, "waits for the answer to a few who were asked first", timedelta(0)
)
# What those get who were not asked any more; see `Heard.stop`.
NOT_ASKED: Final = Deferred(
    Reason.NOT_TRIED, "not asked: the provider's answers are unclear", sender_wide=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A sender as the database has it. `trips`: how often in a row it was stopped."""

    doubts: int = 0
    trips: int = 0
    paused_until: datetime | None = None
    why: str = ""

    def state(self, now: datetime) -> BreakerState:
        """Whether it sends at this moment."""
        if self.paused_until is not None and self.paused_until > now:
            return BreakerState.OPEN
        return BreakerState.PROBING if self.trips else BreakerState.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What some requests of one sender came to.

    `definite`: one at least was answered for good, whatever the answer. `doubts`: requests since then
    whose end is unknown. `stop`: a refusal that was meant for the sender, not for a message.
    """

    definite: bool = False
    doubts: int = 0
    stop: Deferred | None = None


def most_doubts(batch_limit: int, *, probing: bool = False) -> int:
    """How many requests in a row may end unclear, for a channel whose requests carry that many."""
    if probing:
        return 1
    return MOST_DOUBTS_BATCH if batch_limit > 1 else MOST_DOUBTS_SINGLE


def is_definite(answer: Deferred) -> bool:
    """Whether it is the provider's answer about one message: then the provider is there."""
    return not answer.sender_wide and answer.reason is not Reason.NOT_TRIED


def doubts_after(doubts: int, answer: SendResult) -> int:
    """Requests in a row whose end is unknown, after one more answer."""
    match answer:
        case Unclear():
            return doubts + 1
        case Deferred():
            return 0 if is_definite(answer) else doubts
        case Accepted() | Rejected():
            return 0
        case _:
            assert_never(answer)


def joined(parts: Sequence[Heard]) -> Heard:
    """Of requests that ran side by side; nobody knows their order, so doubts are rather few."""
    definite = any(part.definite for part in parts)
    doubts = [part.doubts for part in parts]
    return Heard(
        definite=definite,
        doubts=max(doubts, default=0) if definite else sum(doubts),
        stop=longest(part.stop for part in parts if part.stop is not None),
    )


def longest(stops: Iterable[Deferred]) -> Deferred | None:
    """The one that asks for the longest pause."""
    return max(stops, key=lambda stop: stop.retry_after or timedelta(0), default=None)


def judge(
    before: Breaker,
    heard: Heard,
    *,
    doubts_allowed: int,
    now: datetime,
    pause: Callable[[int], timedelta],
) -> Breaker:
    """What becomes of a sender that was asked after its last pause.

    On probation one doubt is enough. `pause` gives its length for the trip of that number, where the
    provider names none.
    """
    trips = 0 if heard.definite else before.trips
    doubts = heard.doubts if heard.definite else before.doubts + heard.doubts
    in_doubt = doubts >= (1 if trips else doubts_allowed)
    if heard.stop is None and not in_doubt:
        return replace(before, doubts=doubts, trips=trips)
    trips = min(trips + 1, _MOST_TRIPS)
    asked = heard.stop.retry_after if heard.stop else None
    return Breaker(
        trips=trips,
        paused_until=now + max(asked or pause(trips), SHORTEST_PAUSE),
        why=_WHY.get(heard.stop.reason, Why.PROVIDER_UNCLEAR)
        if heard.stop
        else Why.PROVIDER_UNCLEAR,
    )


def reminded(before: Breaker, late: Heard, *, now: datetime) -> Breaker:
    """What becomes of a sender by answers to what was asked before its last pause.

    They tell nothing of how the provider is now; only a wish to be left alone for longer counts.
    """
    asked = late.stop.retry_after if late.stop else None
    if asked is None or (before.paused_until is not None and now + asked <= before.paused_until):
        return before
    return replace(before, paused_until=now + asked)
