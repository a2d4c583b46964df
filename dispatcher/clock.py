"""The only place that asks the machine what time it is; everything else is told."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


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


class SystemClock(Clock):
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
