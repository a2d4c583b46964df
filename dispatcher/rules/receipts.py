"""A receipt between its arrival and its application: a short list, since there may be millions."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from dispatcher.ids import DeliveryKey

SUPPRESS: Final = 1
LIFT: Final = 2

Stored: TypeAlias = list[Any]
"""[key, fact code, seconds since the epoch, provider's reference, detail, reason code, SUPPRESS | LIFT]

The key is signed text as the provider returned it, or five numbers where we wrote it ourselves.
"""


class Fact(NamedTuple):
    """One stored receipt, read again: of which delivery of an update on a channel, and what it says."""

    endpoint: int
    purpose: int
    attempt: int
    fact: int
    at: float
    ref: str
    detail: str
    reason: int
    marks: int


def stored(
    key: str | Sequence[int],
    fact: int,
    at: float,
    *,
    ref: str = "",
    detail: str = "",
    reason: int = 0,
    marks: int = 0,
) -> Stored:
    """What is kept of one receipt."""
    kept = key if isinstance(key, str) else list(key)
    return [kept, fact, at, ref[:100], detail[:200], reason, marks]


def read(read_key: Callable[[str], DeliveryKey], row: Stored) -> tuple[tuple[int, int], Fact]:
    """One stored receipt: (update, channel) and the fact; `read_key` as of `Signer.delivery_key_reader`.

    Raises ForgedIdError where the key is none of ours, another ValueError, OverflowError or TypeError
    where it is no stored receipt.
    """
    if not isinstance(row, list):
        raise TypeError("a stored receipt is a list")
    key, fact, at, ref, detail, reason, marks = row
    # What has no place in time is found out here: a parked one would stop whoever looks at it again.
    datetime.fromtimestamp(at, UTC)
    update, channel, endpoint, purpose, attempt = read_key(key) if isinstance(key, str) else key
    return (update, channel), Fact(endpoint, purpose, attempt, fact, at, ref, detail, reason, marks)
