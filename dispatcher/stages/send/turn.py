"""When a slice goes from one state to another, its undecided deliveries are shown otherwise."""

from collections import Counter
from collections.abc import Sequence

import asyncpg

from dispatcher.db import Connection
from dispatcher.rules.states import DeliveryState, SliceState, shown

PLANNED_SQL = f"""
select attempt, evidence, count(*) as n from delivery
where update_id = $1 and channel = $2 and purpose = $3 and endpoint_id = any($4::bigint[])
  and slice_id = $5 and state = {DeliveryState.PLANNED:d}
group by 1, 2
"""


async def planned(conn: Connection, row: asyncpg.Record) -> list[asyncpg.Record]:
    """The undecided deliveries of a slice the caller has locked: (attempt, evidence, n)."""
    found: list[asyncpg.Record] = await conn.fetch(
        PLANNED_SQL,
        row["update_id"],
        row["channel"],
        row["purpose"],
        row["endpoint_ids"],
        row["id"],
    )
    return found


def turned(groups: Sequence[asyncpg.Record], before: SliceState, after: SliceState) -> Counter[int]:
    """What changes when a slice with these planned deliveries goes from one state to another."""
    moves: Counter[int] = Counter()
    for group in groups:
        attempt, evidence = group["attempt"], group["evidence"]
        moves[shown(DeliveryState.PLANNED, before, attempt, evidence)] -= group["n"]
        moves[shown(DeliveryState.PLANNED, after, attempt, evidence)] += group["n"]
    return moves
