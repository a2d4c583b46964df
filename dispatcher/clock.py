"""The only place that asks the machine what time it is; everything else is told."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog

log = structlog.get_logger(__name__)

# What differs by less is nobody's concern: clocks that are kept by NTP differ by milliseconds.
NOTABLE: Final = timedelta(seconds=1)

Wall = Callable[[], datetime]
"""A clock on the machine's wall: people and NTP set it, forwards and backwards."""


class Clock(Protocol):
    """Time as an edge of the program: a stage receives `now`, a loop receives a clock."""

    def now(self) -> datetime:
        """Business time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never jumps back. For measuring and spacing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass on this clock; zero or less only yields."""
        ...


def machine_wall() -> datetime:
    """What the machine believes the time to be."""
    return datetime.now(UTC)


class SystemClock(Clock):
    """The machine's own clock."""

    def now(self) -> datetime:
        return machine_wall()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))


@dataclass(frozen=True, slots=True)
class Reading:
    """The database said `told` at some moment between two of `Clock.monotonic`."""

    asked: float
    told: datetime
    answered: float

    @property
    def earliest(self) -> datetime:
        """When monotonic time began, if the answer took all of the time."""
        return self.told - timedelta(seconds=self.answered)

    @property
    def latest(self) -> datetime:
        """The same, if it took none."""
        return self.told - timedelta(seconds=self.asked)


class DatabaseClock(SystemClock):
    """The database's time: what it was told last, and what has passed since on the monotonic clock.

    All processes of an installation share it, so the walls of their machines are of no importance.
    Until the first reading it shows the wall's.
    """

    def __init__(self, wall: Wall = machine_wall) -> None:
        self._wall = wall
        self._zero: datetime | None = None  # the moment at which monotonic time began
        self._shown: datetime | None = None
        self._said_skewed = False

    def now(self) -> datetime:
        if self._zero is None:
            return self._wall()
        now = self._zero + timedelta(seconds=self.monotonic())
        # A correction by milliseconds makes it stand still for as long, not run backwards.
        self._shown = now if self._shown is None else max(now, self._shown)
        return self._shown

    @property
    def skew(self) -> timedelta:
        """By how much the machine's wall clock is ahead of the database's."""
        return self._wall() - self.now()

    def learn(self, readings: Sequence[Reading]) -> None:
        """Correct the clock by the most precise of some readings, only as far as it is certainly wrong."""
        best = min(readings, key=lambda reading: reading.answered - reading.asked)
        if self._zero is None:
            self._zero = best.earliest + (best.latest - best.earliest) / 2
        else:
            zero = min(max(self._zero, best.earliest), best.latest)
            step, self._zero = zero - self._zero, zero
            if abs(step) > NOTABLE:
                log.warning("database_clock_stepped", seconds=round(step.total_seconds(), 3))
                self._shown = None
        self._tell_skew()

    def _tell_skew(self) -> None:
        skewed = abs(self.skew) > NOTABLE
        if skewed and not self._said_skewed:
            log.warning("machine_clock_skewed", seconds=round(self.skew.total_seconds(), 3))
        self._said_skewed = skewed


def wrong_wall(errors: Sequence[tuple[float, float]], wall: Wall = machine_wall) -> Wall:
    """A wall clock for tests: `(seconds from now on, seconds by which it is wrong)`, in order."""
    began = time.monotonic()

    def look() -> datetime:
        passed = time.monotonic() - began
        due = [error for since, error in errors if since <= passed]
        return wall() + timedelta(seconds=due[-1] if due else 0.0)

    return look
