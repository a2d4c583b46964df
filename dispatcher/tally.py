"""Counters on slices: `n_by_status` moves in the transaction that moves the rows, so no row is hot.

What is shown of a delivery depends on its slice too. So whoever moves either holds the lock of the slice
first and reads its deliveries after that: or a receipt that comes while a slice turns ambiguous would
be counted under two states.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.metrics import DELIVERIES
from dispatcher.rules.states import Shown

# Deltas arrive as one flat array of 14 numbers a slice; slices are locked in id order.
ADD_SQL = """
with delta as (
    select id, ordinality as place from unnest($1::bigint[]) with ordinality as u(id, ordinality)
), locked as (
    select s.id, d.place from slice s join delta d on d.id = s.id
    where s.id = any($1::bigint[]) order by s.id for update of s
)
update slice s set n_by_status = (
    select array_agg(coalesce(o, 0) + coalesce(d, 0) order by i)
    from unnest(s.n_by_status, ($2::int[])[(l.place - 1) * $3::int + 1 : l.place * $3::int])
         with ordinality as t(o, d, i))
from locked l where s.id = l.id and s.id = any($1::bigint[])
returning s.id, s.channel
"""

TOUCH_SQL = "update slice set n_merges = n_merges + 1 where id = any($1::bigint[])"

Moves = Mapping[int, Counter[int]]

# What waits or is under way is a length, not an event: the queue's depth tells it.
_COUNTED: Final = {code: code.word for code in Shown if code not in {Shown.QUEUED, Shown.SENDING}}


async def add(conn: Connection, moves: Moves, statuses: int) -> None:
    """Apply `{slice id: {shown status code: change}}`; all-zero changes are skipped."""
    real = {key: change for key, change in moves.items() if any(change.values())}
    if not real:
        return
    flat = [change[code] for change in real.values() for code in range(statuses)]
    for row in await conn.fetch(ADD_SQL, list(real), flat, statuses):
        count_arrivals(row["channel"], real[row["id"]])


async def touch(conn: Connection, slice_ids: Collection[int]) -> None:
    """Note that receipts were merged, whether or not a counter moved; the caller holds these slices."""
    await conn.execute(TOUCH_SQL, slice_ids)


def count_arrivals(channel: int, change: Counter[int]) -> None:
    """For the metrics, where counters are moved by other means than `add`; the channel as its code.

    For rates and alerts: a transaction that is begun again counts twice. Reports count rows.
    """
    for code, word in _COUNTED.items():
        if (arrived := change[code]) > 0:
            DELIVERIES.labels(ChannelKind.from_code(channel), word).inc(arrived)
