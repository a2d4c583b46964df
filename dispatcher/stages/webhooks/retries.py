"""When a message that failed is sent again, and when it is given up."""

from datetime import datetime, timedelta
from random import Random
from typing import Final

RETRIES: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
"""After the first failure, the second, and so on; the last pause repeats."""
GIVE_UP_AFTER: Final = timedelta(days=5)
"""So old may a message become, and so long may an endpoint do nothing but fail."""
JITTER: Final = 0.1


def next_try(attempt: int, *, at: datetime, since: datetime, rng: Random) -> datetime | None:
    """When to try again what failed `at` its `attempt` (from 1); None when that would be too late.

    `since`: when the message came to be. Never earlier than the pause says, up to a tenth later, so that
    what failed together does not come back together.
    """
    pause = RETRIES[min(attempt, len(RETRIES)) - 1]
    due = at + pause * (1 + JITTER * rng.random())
    return due if due <= since + GIVE_UP_AFTER else None


def heeded(asked: timedelta) -> timedelta:
    """How long a receiver is left alone because it asks for it: no longer than our longest pause.

    What waits for it keeps its own moments, and whichever is later counts.
    """
    return min(asked, RETRIES[-1])
