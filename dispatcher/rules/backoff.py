"""When a deferred message may try again: exponential, capped, full jitter."""

from datetime import timedelta
from random import Random


def backoff(attempt: int, *, base: timedelta, cap: timedelta, rng: Random) -> timedelta:
    """A random pause in (0, min(cap, base * 2**(attempt - 1))]; `attempt` counts from 1."""
    ceiling = min(cap.total_seconds(), base.total_seconds() * 2.0 ** min(attempt - 1, 30))
    return timedelta(seconds=ceiling * (1.0 - rng.random()))
