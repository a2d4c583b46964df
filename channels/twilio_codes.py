"""Twilio's error codes and message statuses as data, for answers and callbacks alike.

Twilio splits codes now and then and asks not to build on them. So this table only sharpens a
verdict: an unknown code is permanent for that one message, and says so in its detail.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import assert_never

from channels.model import Deferred, Fact, Reason, Rejected


class Then(Enum):
    """What a code means for this message and its neighbours."""

    LATER = auto()  # not sent; the same message may work later
    SENDER_LATER = auto()  # not sent; nothing of this sender will work until later
    NEVER = auto()  # not sent, and never will be
    NEVER_AGAIN = auto()  # nor anything else to this address


@dataclass(frozen=True, slots=True)
class Code:
    """One row. `wait`: how long Twilio's documentation says the condition lasts."""

    reason: Reason
    then: Then
    wait: timedelta | None = None


CODES: Mapping[int, Code] = {
    # Not processed, or the provider's own queue is full.
    20429: Code(Reason.THROTTLED, Then.SENDER_LATER),
    21611: Code(Reason.THROTTLED, Then.SENDER_LATER),  # ten hours of queue on one number
    30001: Code(Reason.THROTTLED, Then.SENDER_LATER),  # the same, told after acceptance
    30022: Code(Reason.THROTTLED, Then.SENDER_LATER),  # 10DLC rate
    63017: Code(Reason.THROTTLED, Then.SENDER_LATER),  # account and subaccounts together
    63018: Code(Reason.THROTTLED, Then.SENDER_LATER),
    14107: Code(Reason.THROTTLED, Then.LATER, timedelta(seconds=30)),
    30017: Code(Reason.UNREACHABLE_NOW, Then.LATER),  # carrier congestion
    30450: Code(Reason.BLOCKED, Then.LATER, timedelta(minutes=30)),  # lifts by itself
    # The handset or carrier did not take it; another try later is worth it.
    30003: Code(Reason.UNREACHABLE_NOW, Then.LATER),
    30008: Code(Reason.PROVIDER_ERROR, Then.LATER),
    30410: Code(Reason.NO_RECEIPT, Then.LATER),  # may have arrived; Twilio does not repeat it
    # This message is at fault.
    21617: Code(Reason.TOO_LONG, Then.NEVER),
    30019: Code(Reason.TOO_LONG, Then.NEVER),
    21620: Code(Reason.CONTENT_REFUSED, Then.NEVER),
    21656: Code(Reason.CONTENT_REFUSED, Then.NEVER),
    35114: Code(Reason.CONTENT_REFUSED, Then.NEVER),
    30007: Code(Reason.FILTERED, Then.NEVER),
    # This address is at fault.
    21610: Code(Reason.OPTED_OUT, Then.NEVER_AGAIN),
    21211: Code(Reason.INVALID_ADDRESS, Then.NEVER_AGAIN),
    21614: Code(Reason.CANNOT_RECEIVE, Then.NEVER_AGAIN),
    30005: Code(Reason.UNKNOWN_ADDRESS, Then.NEVER_AGAIN),
    30006: Code(Reason.CANNOT_RECEIVE, Then.NEVER_AGAIN),
    # Once may be a bad day of a carrier: whoever counts them suppresses the address after two.
    21612: Code(Reason.CANNOT_RECEIVE, Then.NEVER),
    30004: Code(Reason.BLOCKED, Then.NEVER),
    # Our account, number or registration is at fault: the sender stops and a person must look.
    10001: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    20003: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    21212: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    21606: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    21703: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    21705: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    21709: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30002: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30018: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30023: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30024: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30027: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30032: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30034: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    30035: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),
    63038: Code(Reason.ACCOUNT_PROBLEM, Then.SENDER_LATER),  # rolling 24 hours
    # Also the account's, but about this destination only: the other countries must go on.
    21408: Code(Reason.ACCOUNT_PROBLEM, Then.LATER),
    21608: Code(Reason.ACCOUNT_PROBLEM, Then.LATER),
}

# Message statuses of the official description; the ones for inbound texts mean nothing here.
STATUSES: Mapping[str, Fact] = {
    "accepted": Fact.QUEUED,
    "scheduled": Fact.QUEUED,
    "queued": Fact.QUEUED,
    "sending": Fact.SENT,
    "sent": Fact.SENT,
    "delivered": Fact.DELIVERED,
    "read": Fact.OPENED,
    "undelivered": Fact.UNDELIVERED,
    "partially_delivered": Fact.UNDELIVERED,
    "failed": Fact.UNDELIVERED,
    "canceled": Fact.DROPPED,
}


def refusal(code: int, asked_wait: timedelta | None) -> Deferred | Rejected:
    """The answer for a refused request; `asked_wait` is the wait its headers name, if any."""
    row, detail = explain(code)
    wait = asked_wait or row.wait
    match row.then:
        case Then.LATER:
            return Deferred(row.reason, detail, wait)
        case Then.SENDER_LATER:
            return Deferred(row.reason, detail, wait, sender_wide=True)
        case Then.NEVER:
            return Rejected(row.reason, detail)
        case Then.NEVER_AGAIN:
            return Rejected(row.reason, detail, suppress=True)
        case _:
            assert_never(row.then)


def explain(code: int) -> tuple[Code, str]:
    """The row of a code and the detail to store; unknown codes are permanent, and flagged."""
    row = CODES.get(code)
    if row is None:
        return _UNKNOWN, f"twilio {code} (not in our table)"
    return row, f"twilio {code}"


_UNKNOWN = Code(Reason.CONTENT_REFUSED, Then.NEVER)
