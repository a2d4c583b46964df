"""The head start grows with every failed try, and a stray is measured against the slack of the windows."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from channels.pacing import Limit, steady_spacing
from dispatcher.rules.punctuality import LATE, LATE_WHERE_UNPACED, UNPACED_S, head_start, is_late

PACED_S = 0.01
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SLACK_OF_THE_SHORTEST_WINDOW = timedelta(seconds=1) / 12


def test_what_leaves_at_its_moment_or_early_is_not_late() -> None:
    assert not is_late(NOON, NOON, PACED_S)
    assert not is_late(NOON, NOON - timedelta(seconds=1), PACED_S)
    assert is_late(NOON, NOON + SLACK_OF_THE_SHORTEST_WINDOW, PACED_S)


def test_where_no_limit_binds_a_second_is_not_late_but_a_forgotten_slice_is() -> None:
    assert not is_late(NOON, NOON + timedelta(seconds=1), 0)
    assert not is_late(NOON, NOON + timedelta(seconds=1), UNPACED_S)
    assert is_late(NOON, NOON + timedelta(minutes=1), 0)


def test_what_may_be_late_where_windows_are_long_stays_within_their_slack() -> None:
    assert not steady_spacing([Limit(100, 61)])
    assert timedelta(seconds=61) / 12 > LATE_WHERE_UNPACED


def test_some_of_the_slack_is_left_for_the_network() -> None:
    assert LATE < SLACK_OF_THE_SHORTEST_WINDOW


@given(st.integers(0, 10_000))
def test_the_head_start_never_shrinks_and_never_outgrows_two_seconds(claims: int) -> None:
    assert head_start(claims) <= head_start(claims + 1) < timedelta(seconds=2)
    assert head_start(claims) > LATE
