"""Backoff: bounded, growing, jittered."""

from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.rules.backoff import backoff

BASE, CAP = timedelta(seconds=5), timedelta(minutes=5)


@given(attempt=st.integers(1, 1000), seed=st.integers(0, 2**32))
def test_a_pause_is_positive_and_never_longer_than_the_cap(attempt: int, seed: int) -> None:
    pause = backoff(attempt, base=BASE, cap=CAP, rng=Random(seed))
    assert timedelta(0) < pause <= min(CAP, BASE * 2 ** min(attempt - 1, 10))


def test_jitter_spreads_over_the_whole_span() -> None:
    rng = Random(7)
    pauses = [backoff(10, base=BASE, cap=CAP, rng=rng).total_seconds() for _ in range(500)]
    assert min(pauses) < 30
    assert max(pauses) > 270
