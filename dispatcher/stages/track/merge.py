"""Facts onto deliveries, slice counters along with them, and every receipt into the archive."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

import asyncpg

from channels.model import Fact as Kind
from dispatcher import tally
from dispatcher.db import Connection
from dispatcher.rules.receipts import Fact
from dispatcher.rules.states import (
    EARLIER_ATTEMPTS_SHIFT,
    STATUS_COUNT,
    TAKEN_MASK,
    DeliveryState,
    SliceState,
    bit,
    fact_code,
    shown,
)

DAYS_SQL = "select ensure_receipt_partition(d) from unnest($1::date[]) as t(d)"
# See `tally`: slices first, then their deliveries, which need no locks of their own.
LOCK_SLICES_SQL = """
select id, state from slice where id = any(array(
    select slice_id from delivery where update_id = $1 and channel = $2 and endpoint_id = any($3::bigint[])))
order by id for update
"""
# The same facts onto many deliveries, and no join: PostgreSQL expects ten elements of an array it does
# not know, and would compare each of thousands of deliveries with each of thousands of receipts.
_FRESH = (
    f"evidence | case when attempt <= $5 then $6::int else $6::int << {EARLIER_ATTEMPTS_SHIFT} end"
)
MERGE_SQL = f"""
with o as materialized (
    select attempt, evidence, state, slice_id, endpoint_id from delivery
    where update_id = $1 and channel = $2 and endpoint_id = any($3::bigint[]) and purpose = $4
), u as (
    update delivery
    set evidence = {_FRESH}, done_at = coalesce(done_at, $7::timestamptz),
        state = case when state = {DeliveryState.UNCONFIRMED:d} and attempt <= $5
                          and $6::int & {TAKEN_MASK} <> 0
                     then {DeliveryState.ACCEPTED:d} else state end
    where update_id = $1 and channel = $2 and endpoint_id = any($3::bigint[]) and purpose = $4
      and slice_id = any($8::bigint[]) and evidence <> {_FRESH}
)
select attempt, evidence, state, slice_id, array_agg(endpoint_id) as endpoints from o group by 1, 2, 3, 4
"""
_COLUMNS = (
    "day", "update_id", "endpoint_id", "channel", "purpose", "attempt", "fact", "matched", "at",
    "provider_ref", "detail",
)  # fmt: skip
_BITS = {fact_code(kind): bit(kind) for kind in Kind}

Matched = Collection[tuple[int, int]]
"""(endpoint, purpose) of the deliveries that there are."""


class Deliveries(NamedTuple):
    """Those of one update on one channel; the channel as its code."""

    update: int
    channel: int


class _Said(NamedTuple):
    """The facts, as bits, of one attempt, that many deliveries have in common."""

    purpose: int
    attempt: int
    bits: int


async def merge(
    conn: Connection, deliveries: Deliveries, facts: Iterable[Fact], *, now: datetime
) -> Matched:
    """Add facts to the evidence of their deliveries and move the counters, in the caller's transaction.

    Raises LookupError for a fact that has no meaning here.
    """
    matched: set[tuple[int, int]] = set()
    moves: dict[int, Counter[int]] = defaultdict(Counter)
    slices: dict[int, SliceState] = {}
    waiting = _alike(facts)
    while waiting:
        slices |= await _hold_slices(conn, deliveries, waiting)
        moved: dict[_Said, list[int]] = {}
        for said, endpoints in waiting.items():
            for row in await conn.fetch(
                MERGE_SQL, *deliveries, endpoints, *said, now, list(slices)
            ):
                held, alike = row["slice_id"], row["endpoints"]
                if held in slices:
                    _count(moves[held], row, said, slices[held])
                    matched.update((endpoint, said.purpose) for endpoint in alike)
                else:
                    # It went to another slice while we waited for the one it was in.
                    moved[said] = moved.get(said, []) + alike
        waiting = moved
    await tally.add(conn, moves, STATUS_COUNT)
    await tally.touch(conn, sorted(moves))
    return matched


def _alike(facts: Iterable[Fact]) -> dict[_Said, list[int]]:
    """Endpoints by what was said of them: few kinds, since the facts of a day are much the same."""
    bits: dict[tuple[int, int, int], int] = defaultdict(int)
    for endpoint, purpose, attempt, fact, *_ in facts:
        bits[(purpose, attempt, endpoint)] |= _BITS[fact]
    alike: dict[_Said, list[int]] = defaultdict(list)
    for (purpose, attempt, endpoint), said in bits.items():
        alike[_Said(purpose, attempt, said)].append(endpoint)
    return alike


async def _hold_slices(
    conn: Connection, deliveries: Deliveries, waiting: Mapping[_Said, list[int]]
) -> dict[int, SliceState]:
    """Lock the slices of all of them, in one order, and see where each slice stands."""
    endpoints = list(chain.from_iterable(waiting.values()))
    rows = await conn.fetch(LOCK_SLICES_SQL, *deliveries, endpoints)
    return {row["id"]: SliceState(row["state"]) for row in rows}


def _count(moves: Counter[int], row: asyncpg.Record, said: _Said, place: SliceState) -> None:
    """Move as many deliveries as the row stands for from what was shown of them to what is now."""
    attempt, evidence, state = row["attempt"], row["evidence"], DeliveryState(row["state"])
    current = attempt <= said.attempt
    fresh = evidence | (said.bits if current else said.bits << EARLIER_ATTEMPTS_SHIFT)
    if fresh == evidence:
        return
    taken = current and said.bits & TAKEN_MASK
    after = DeliveryState.ACCEPTED if state is DeliveryState.UNCONFIRMED and taken else state
    n = len(row["endpoints"])
    moves[shown(state, place, attempt, evidence)] -= n
    moves[shown(after, place, attempt, fresh)] += n


async def archive(
    conn: Connection, deliveries: Deliveries, facts: Sequence[Fact], *, matched: bool
) -> None:
    """Keep receipts as they came; `matched`: there are deliveries that they are about."""
    update, channel = deliveries
    records = []
    for endpoint, purpose, attempt, fact, seconds, ref, detail, *_ in facts:
        at = datetime.fromtimestamp(seconds, UTC)
        records.append(
            (at.date(), update, endpoint, channel, purpose, attempt, fact, matched, at, ref, detail)
        )
    await conn.execute(DAYS_SQL, sorted({record[0] for record in records}))
    await conn.copy_records_to_table("receipt", records=records, columns=_COLUMNS)
