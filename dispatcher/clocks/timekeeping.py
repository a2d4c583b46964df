"""Timekeeping: every process follows the clock of the database, whatever its machine believes."""

from typing import Final

from dispatcher.clock import DatabaseClock, Reading
from dispatcher.db import Pool, database_clock

# The one that took least is the one that counts; a single answer may be slow by chance.
_READINGS: Final = 3


async def keep_time(pool: Pool, clock: DatabaseClock) -> None:
    """Ask the database a few times what time it is, and correct the clock."""
    readings = []
    async with pool.acquire() as conn:
        for _ in range(_READINGS):
            asked = clock.monotonic()
            told = await database_clock(conn)
            readings.append(Reading(asked, told, clock.monotonic()))
    clock.learn(readings)
