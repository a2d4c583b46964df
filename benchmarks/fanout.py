"""Audience and fan-out: the plan stage, against one bare INSERT … SELECT of the very rows it made."""

import os
import time

from benchmarks.meter import Meter, size
from benchmarks.result import Aim, Row
from benchmarks.stand import Case, Sizes, Stand, say
from benchmarks.story import word
from dispatcher.stages import plan

AIM = 100_000
BARE_TABLE_SQL = "create table bare (like delivery including all) with (fillfactor = 65)"
BARE_INSERT_SQL = "insert into bare select * from delivery where update_id = $1"


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """100,000 people and a million."""
    rows = []
    for people in (100_000, 1_000_000):
        n = sizes.of(people, least=1000)
        async with stand.case(n) as case:
            rows.append(await _measure(case, n))
    return rows


async def _measure(case: Case, n: int) -> Row:
    accepted = await word(case, 1, component="some")
    before = await size(case.conn)
    meter = Meter(case.postmaster, [os.getpid()]).start()
    await plan.run(case.ctx, accepted.update_id)
    meter.stop()
    count = await case.conn.fetchval(
        "select count(*) from delivery where update_id = $1", accepted.update_id
    )
    grown = await size(case.conn) - before
    row = Row(
        bench="fanout",
        case=f"{n:,} people",
        unit="rows/s",
        product=count / meter.seconds,
        bare=await bare_insert(case, accepted.update_id, count),
        n=count,
        seconds=meter.seconds,
        db_bytes=grown / count,
        costs=meter.costs(count),
    )
    row.aims.append(Aim("rows/s", row.product, AIM))
    say(f"fanout {n:,}: {count:,} rows in {meter.seconds:.1f} s")
    return row


async def bare_insert(case: Case, update_id: int, count: int) -> float:
    """Rows a second of one statement into an identical table."""
    await case.conn.execute(BARE_TABLE_SQL)
    await case.conn.execute("checkpoint")
    began = time.perf_counter()
    await case.conn.execute(BARE_INSERT_SQL, update_id)
    seconds = time.perf_counter() - began
    await case.conn.execute("drop table bare")
    return float(count / seconds)
