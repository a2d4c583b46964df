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


# Every moment in 2026 at which the clocks change there.
_CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00+00:00"),
    ("Europe/Berlin", "2026-10-25T01:00+00:00"),
    ("America/New_York", "2026-03-08T07:00+00:00"),
    ("America/New_York", "2026-11-01T06:00+00:00"),
    ("Pacific/Auckland", "2026-04-04T14:00+00:00"),
    ("Pacific/Auckland", "2026-09-26T14:00+00:00"),
    ("America/Havana", "2026-03-08T05:00+00:00"),  # midnight itself is skipped
]


def _minutes(clock: time) -> int:
    return 60 * clock.hour + clock.minute


_NIGHT = st.integers(0, 4 * 60).map(lambda minute: time(minute // 60, minute % 60))


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    ("zone", "now", "end"),
    [
        # 02:30 does not exist: the hour that is skipped ends the quiet at 03:30 by the new time.
        ("Europe/Berlin", "2026-03-29T00:45+00:00", "2026-03-29T01:30+00:00"),
        ("America/New_York", "2026-03-08T06:45+00:00", "2026-03-08T07:30+00:00"),
        ("Pacific/Auckland", "2026-09-26T13:45+00:00", "2026-09-26T14:30+00:00"),
        # 02:30 exists twice, and the quiet ends with the second of them.
        ("Europe/Berlin", "2026-10-24T23:45+00:00", "2026-10-25T01:30+00:00"),
        ("Europe/Berlin", "2026-10-25T01:10+00:00", "2026-10-25T01:30+00:00"),
        ("Pacific/Auckland", "2026-04-04T13:00+00:00", "2026-04-04T14:30+00:00"),
        ("Pacific/Auckland", "2026-04-04T14:10+00:00", "2026-04-04T14:30+00:00"),
    ],
)
def test_quiet_hours_that_end_where_the_clocks_change_end_once(
    zone: str, now: str, end: str
) -> None:
    assert quiet_end(datetime.fromisoformat(now), zone, time(22), time(2, 30)) == (
        datetime.fromisoformat(end)
    )


@pytest.mark.fault(35)
@given(
    st.sampled_from(_CHANGES),
    st.integers(-28 * 60, 4 * 60),
    _MINUTES | _NIGHT,
    _MINUTES | _NIGHT,
)
def test_across_every_change_of_the_clocks_who_waits_waits_once_and_at_most_a_day_and_an_hour(
    change: tuple[str, str], minutes: int, quiet_from: time, quiet_until: time
) -> None:
    # Else nothing but the hour that is skipped may lie between the quiet of one day and of the next.
    assume((_minutes(quiet_from) - _minutes(quiet_until)) % (24 * 60) > 60)
    zone, now = change[0], datetime.fromisoformat(change[1]) + timedelta(minutes=minutes)

    end = quiet_end(now, zone, quiet_from, quiet_until)

    assert end >= now
    assert end - now <= timedelta(hours=25)
    # Who was told at the end is not put off again, not even when the hour comes round a second time.
    assert quiet_end(end, zone, quiet_from, quiet_until) == end


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../UTC", "America"])
def test_a_zone_that_nobody_knows_is_taken_for_utc(zone: str) -> None:
    now = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)

    assert quiet_end(now, zone, time(22), time(7)) == datetime(2026, 11, 23, 7, tzinfo=UTC)
