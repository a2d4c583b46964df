from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segments.quiet import quiet_end

_MINUTES = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - made aware below
    st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Tokyo"]),
    _MINUTES,
    _MINUTES,
)
def test_who_waits_waits_less_than_a_day_until_the_hour_that_was_set(
    at: datetime, zone: str, quiet_from: time, quiet_until: time
) -> None:
    assume(quiet_from != quiet_until)
    now = at.replace(tzinfo=UTC)

    end = quiet_end(now, zone, quiet_from, quiet_until)

    if end != now:
        assert timedelta(0) < end - now <= timedelta(days=1)
        assert end.astimezone(ZoneInfo(zone)).time() == quiet_until
    assert quiet_end(end, zone, quiet_from, quiet_until) == end


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - made aware below
    _MINUTES,
    _MINUTES,
)
def test_of_two_opposite_windows_exactly_one_is_quiet(
    at: datetime, quiet_from: time, quiet_until: time
) -> None:
    assume(quiet_from != quiet_until)
    now = at.replace(tzinfo=UTC)

    waits = quiet_end(now, "UTC", quiet_from, quiet_until) != now
    waits_in_the_opposite = quiet_end(now, "UTC", quiet_until, quiet_from) != now

    assert waits != waits_in_the_opposite


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-28T22:30+00:00", "2026-03-29T05:00+00:00"),  # the clocks go forward that night
        ("2026-10-24T21:30+00:00", "2026-10-25T06:00+00:00"),  # and back
    ],
)
def test_the_end_is_by_the_clock_on_the_wall(now: str, end: str) -> None:
    found = quiet_end(datetime.fromisoformat(now), "Europe/Paris", time(22), time(7))

    assert found == datetime.fromisoformat(end)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../UTC", "America"])
def test_a_zone_that_nobody_knows_is_taken_for_utc(zone: str) -> None:
    now = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)

    assert quiet_end(now, zone, time(22), time(7)) == datetime(2026, 11, 23, 7, tzinfo=UTC)
