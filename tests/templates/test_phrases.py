from datetime import UTC, datetime, timedelta

import pytest

from templates.phrases import first_sentence
from templates.times import between, clock, lasted

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Card payments fail. Orders are kept.", "Card payments fail."),
        ("Card payments fail", "Card payments fail."),
        ("Pages take approx. 5 seconds. Reports fail.", "Pages take approx. 5 seconds."),
        ("Shops in St. Gallen cannot pay. We look.", "Shops in St. Gallen cannot pay."),
        ("Version 2.1 fails to start! Older ones work.", "Version 2.1 fails to start!"),
        ("Line one\ngoes on. Next.", "Line one goes on."),
    ],
)
def test_the_first_sentence_ends_where_a_reader_thinks_it_does(text: str, first: str) -> None:
    assert first_sentence(text) == first


@pytest.mark.parametrize(
    ("minutes", "full", "brief"),
    [
        (0, "less than a minute", "less than a minute"),
        (1, "1 minute", "1 min"),
        (95, "1 hour 35 minutes", "1 h 35 min"),
        (120, "2 hours", "2 h"),
        (1445, "1 day 5 minutes", "1 d 5 min"),
        (2 * 1440 + 185, "2 days 3 hours", "2 d 3 h"),
        (-5, "less than a minute", "less than a minute"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(minutes: int, full: str, brief: str) -> None:
    end = NOON + timedelta(minutes=minutes)
    assert (lasted(NOON, end), lasted(NOON, end, brief=True)) == (full, brief)


def test_a_time_has_its_date_when_it_is_not_the_day_of_the_message() -> None:
    tomorrow = NOON + timedelta(hours=21)
    assert clock(NOON, on=NOON, zone="UTC") == "12:00 UTC"
    assert clock(tomorrow, on=NOON, zone="UTC") == "09:00 UTC on Mon 23 Nov"
    assert clock(NOON, on=NOON, zone="Europe/Berlin") == "13:00 CET"


@pytest.mark.parametrize(
    ("moment", "on", "said"),
    [
        ("2099-01-01T12:00Z", "2026-11-22T12:00Z", "12:00 UTC on Thu 1 Jan 2099"),
        ("2027-01-01T00:30Z", "2026-12-31T23:30Z", "00:30 UTC on Fri 1 Jan 2027"),
        ("2026-12-31T23:30Z", "2026-01-02T12:00Z", "23:30 UTC on Thu 31 Dec 2026"),
        ("2026-06-30T12:00Z", "2026-01-02T12:00Z", "12:00 UTC on Tue 30 Jun"),
        ("2026-01-02T12:00Z", "2026-01-02T09:00Z", "12:00 UTC"),
    ],
)
def test_a_date_has_its_year_where_it_could_be_taken_for_another(
    moment: str, on: str, said: str
) -> None:
    then, now = datetime.fromisoformat(moment), datetime.fromisoformat(on)
    assert clock(then, on=now, zone="UTC") == said


def test_a_range_names_the_day_once_or_twice_as_needed() -> None:
    later, tomorrow = NOON + timedelta(hours=2), NOON + timedelta(hours=21)
    far = tomorrow + timedelta(hours=1)
    assert between(NOON, later, on=NOON, zone="UTC") == "between 12:00 and 14:00 UTC"
    assert between(tomorrow, far, on=NOON, zone="UTC") == (
        "between 09:00 and 10:00 UTC on Mon 23 Nov"
    )
    assert between(NOON, tomorrow, on=NOON, zone="UTC") == (
        "between 12:00 UTC and 09:00 UTC on Mon 23 Nov"
    )
