"""A sender that was stopped is asked again by one slice, and by no other until there is an answer."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from dispatcher.db import Connection
from dispatcher.rules.states import SliceState

# What left before the pause may hang for long; it asks nothing any more.
ASKING_SQL = f"""
select exists (
    select from slice where sender_id = $1
    and (state = {SliceState.RELEASED:d} or state = {SliceState.IN_FLIGHT:d} and intent_at >= $2))
"""


async def probe(
    conn: Connection, sender: asyncpg.Record, waiting: Sequence[asyncpg.Record], now: datetime
) -> list[asyncpg.Record]:
    """What of the waiting slices, best first, may be looked at in this turn: one that is still fresh.

    Few of its people are asked, see the send stage. The caller holds the sender. Those that are stale
    come too, to be ended.
    """
    if await conn.fetchval(ASKING_SQL, sender["id"], sender["paused_until"]):
        return []
    stale = [row for row in waiting if row["expires_at"] <= now]
    fresh = [row for row in waiting if row["expires_at"] > now]
    if not fresh:
        return stale
    # A second doubt would be the last one, so rather those that are sent for the first time.
    return [*stale, min(fresh, key=lambda row: (row["lane"], row["maybe_duplicate"]))]
