"""The system clock is aware, in UTC, and never runs backwards."""

from datetime import UTC

from dispatcher.clock import SystemClock


async def test_the_system_clock_is_aware_and_monotonic() -> None:
    clock = SystemClock()
    before, start = clock.now(), clock.monotonic()
    await clock.sleep(-1)
    assert before.tzinfo is UTC
    assert clock.now() >= before
    assert clock.monotonic() >= start
