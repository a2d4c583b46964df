"""Clocks: aware, in UTC, never backwards; and the time of the database whatever the machine believes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dispatcher.app import running
from dispatcher.clock import Clock, DatabaseClock, Reading, SystemClock, wrong_wall
from dispatcher.clocks.timekeeping import keep_time
from dispatcher.config import Settings
from dispatcher.db import Pool, database_clock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


class HandClock(DatabaseClock):
    """Monotonic time under the test's hand; the wall shows noon."""

    def __init__(self, wall: datetime = NOON) -> None:
        super().__init__(lambda: wall)
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def hears(self, told: datetime, *, after: float = 0.0, took: float = 0.0) -> None:
        self.at += after
        self.learn([Reading(self.at - took, told, self.at)])


@pytest.mark.parametrize("clock", [SystemClock(), DatabaseClock()])
async def test_a_clock_is_aware_and_monotonic(clock: Clock) -> None:
    before, start = clock.now(), clock.monotonic()
    await clock.sleep(-1)
    assert before.tzinfo is UTC
    assert clock.now() >= before
    assert clock.monotonic() >= start


@pytest.mark.fault(34)
@pytest.mark.parametrize("error", [-HOUR, HOUR])
async def test_business_time_is_the_databases_whatever_the_wall_of_the_machine_shows(
    pool: Pool, error: timedelta
) -> None:
    clock = DatabaseClock(wrong_wall([(0.0, error.total_seconds())]))
    await keep_time(pool, clock)
    async with pool.acquire() as conn:
        assert abs(await database_clock(conn) - clock.now()) < 10 * SECOND
    assert abs(clock.skew - error) < 10 * SECOND


async def test_a_process_runs_on_the_time_of_the_database(settings: Settings) -> None:
    wrong = settings.test.model_copy(update={"failpoints": True, "wall_errors": ((0.0, 3600.0),)})
    async with (
        running(settings.model_copy(update={"test": wrong})) as ctx,
        ctx.pool.acquire() as conn,
    ):
        assert abs(await database_clock(conn) - ctx.now()) < 10 * SECOND


def test_of_several_answers_the_quickest_counts() -> None:
    clock = HandClock()
    clock.learn(
        [
            Reading(90.0, NOON + HOUR, 94.0),
            Reading(94.0, NOON, 94.2),
            Reading(95.0, NOON + HOUR, 99.0),
        ]
    )
    assert clock.now() == NOON + timedelta(seconds=100.0 - 94.1)


def test_an_answer_that_took_long_corrects_only_what_is_certainly_wrong() -> None:
    clock = HandClock()
    clock.hears(NOON)
    clock.hears(
        NOON + 8 * SECOND, after=10.0, took=4.0
    )  # between 8 and 12 seconds ago: may be right
    assert clock.now() == NOON + 10 * SECOND
    clock.hears(NOON + 15 * SECOND, after=10.0, took=4.0)  # at most 19 past, but the clock says 20
    clock.at += 2
    assert clock.now() == NOON + 21 * SECOND


@given(st.lists(st.tuples(st.floats(0.001, 60.0), st.floats(-0.4, 0.4)), min_size=1, max_size=30))
def test_corrections_below_a_second_never_run_it_backwards(
    steps: list[tuple[float, float]],
) -> None:
    clock = HandClock()
    clock.hears(NOON)
    began, shown = clock.at, [clock.now()]
    for passed, off in steps:
        clock.hears(NOON + timedelta(seconds=clock.at + passed - began + off), after=passed)
        shown.append(clock.now())
    assert shown == sorted(shown)


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_step_of_the_databases_clock_is_followed_and_said(step: timedelta) -> None:
    clock = HandClock()
    clock.hears(NOON)
    assert clock.now() == NOON
    with capture_logs() as logs:
        clock.hears(NOON + 10 * SECOND + step, after=10.0)
    assert clock.now() == NOON + 10 * SECOND + step
    assert [line["seconds"] for line in logs if line["event"] == "database_clock_stepped"] == [
        step.total_seconds()
    ]


def test_a_machine_whose_wall_is_wrong_says_so_once() -> None:
    clock = HandClock(NOON + HOUR)
    with capture_logs() as logs:
        clock.hears(NOON)
        clock.hears(NOON + SECOND, after=1.0)
    said = [line["seconds"] for line in logs if line["event"] == "machine_clock_skewed"]
    assert said == [HOUR.total_seconds()]


def test_a_wrong_wall_jumps_when_it_is_told_to() -> None:
    wall = wrong_wall([(0.0, 3600.0), (1000.0, -3600.0)], lambda: NOON)
    assert wall() == NOON + HOUR
    assert wrong_wall([(1000.0, 3600.0)], lambda: NOON)() == NOON
