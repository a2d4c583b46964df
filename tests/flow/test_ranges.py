"""Ranges of contacts grow where few are to be told, and never beyond what one statement should read."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.stages.plan.stage import LARGEST_RANGE, RANGE, ROWS_A_RANGE, next_range


@given(st.integers(1, LARGEST_RANGE), st.integers(0, 4 * LARGEST_RANGE))
def test_a_range_stays_within_its_bounds(width: int, planned: int) -> None:
    assert RANGE <= next_range(width, planned) <= LARGEST_RANGE


def test_where_everybody_is_told_ranges_stay_as_they_are() -> None:
    assert next_range(RANGE, RANGE * 3) == RANGE


def test_where_one_in_a_hundred_is_told_ranges_grow_four_times_at_most() -> None:
    assert next_range(RANGE, RANGE // 100) == 4 * RANGE
    assert next_range(LARGEST_RANGE // 2, LARGEST_RANGE // 200) == LARGEST_RANGE


def test_a_range_that_brought_enough_is_not_widened() -> None:
    assert next_range(4 * RANGE, ROWS_A_RANGE) == 4 * RANGE
