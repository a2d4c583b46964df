"""Receipts: signed webhook requests of 100 events into the web process, then the track stage."""

import os
import time

import asyncpg

from benchmarks.meter import Meter, size
from benchmarks.result import Aim, Row
from benchmarks.sink import EVENTS_A_REQUEST, delivered, webhook
from benchmarks.stand import Case, Sizes, Stand, say
from benchmarks.story import plan_paused
from benchmarks.wire import pour
from channels.model import ChannelKind
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import DeliveryState, Purpose, SliceState
from dispatcher.stages import track

AIM_INGEST = 100_000
CONNECTIONS = 8
SENT_SQL = f"""
with d as (update delivery set state = {DeliveryState.ACCEPTED:d}, sent_at = now(), done_at = now(),
                  evidence = 1 where update_id = $1)
update slice set state = {SliceState.DONE:d}, ended_at = now(), intent_at = now(), epoch = 1,
       n_by_status = n_by_status[3:3] || n_by_status[2:2] || n_by_status[1:1] || n_by_status[4:]
where update_id = $1
"""
BARE_TABLE_SQL = "create table bare (like receipt including all)"


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """Ingest first, with nobody applying; then apply, with nobody asking."""
    n = sizes.of(200_000, least=2000)
    async with stand.case(n, channels=[ChannelKind.EMAIL]) as case:
        accepted = await plan_paused(case, 1)
        await case.conn.execute(SENT_SQL, accepted.update_id)
        await case.conn.execute("vacuum analyze delivery")
        before = await size(case.conn)
        requests = _requests(case, accepted.update_id, n)
        ingest = await _ingest(case, requests, n)
        apply = await _apply(case, n)
        apply.db_bytes = (await size(case.conn) - before) / n
        rows = [tuple(row) for row in await case.conn.fetch("select * from receipt")]
        ingest.bare = await bare_copy(case.conn, rows, EVENTS_A_REQUEST)
        apply.bare = await bare_copy(case.conn, rows, 5000)
        ingest.bare_what = apply.bare_what = "COPY rows/s"
    return [ingest, apply]


def _requests(case: Case, update_id: int, n: int) -> list[bytes]:
    """Endpoints of mails are numbered like their people, from 1."""
    sign = case.ctx.signer.delivery_key
    channel = ChannelKind.EMAIL.code
    keys = [
        sign(DeliveryKey(update_id, channel, endpoint, Purpose.NOTICE, 1)).encode()
        for endpoint in range(1, n + 1)
    ]
    url = case.ctx.settings.public_url
    return [
        webhook(url, delivered(keys[first : first + EVENTS_A_REQUEST]))
        for first in range(0, n, EVENTS_A_REQUEST)
    ]


async def _ingest(case: Case, requests: list[bytes], n: int) -> Row:
    web = await case.start_web()
    meter = Meter(case.postmaster, [web.pid], [os.getpid()]).start()
    statuses = await pour(web.url, requests, connections=CONNECTIONS)
    meter.stop()
    await case.children.stop()
    say(f"receipts ingest: {n:,} in {meter.seconds:.2f} s, answers {statuses}")
    row = Row(
        bench="receipts",
        case=f"ingest, {EVENTS_A_REQUEST} a request",
        unit="events/s",
        product=n / meter.seconds,
        n=n,
        seconds=meter.seconds,
        costs=meter.costs(n),
    )
    row.aims.append(Aim("events/s", row.product, AIM_INGEST))
    if set(statuses) != {204}:
        row.notes.append(f"ANSWERS OTHER THAN 204: {statuses}")
    return row


async def _apply(case: Case, n: int) -> Row:
    meter = Meter(case.postmaster, [os.getpid()]).start()
    await track.run(case.ctx, 0)
    meter.stop()
    matched = await case.conn.fetchval("select count(*) from receipt where matched")
    say(f"receipts apply: {n:,} in {meter.seconds:.2f} s")
    row = Row(
        bench="receipts",
        case="apply, one process",
        unit="events/s",
        product=n / meter.seconds,
        n=n,
        seconds=meter.seconds,
        costs=meter.costs(n),
    )
    if matched != n:
        row.notes.append(f"ONLY {matched:,} OF {n:,} RECEIPTS FOUND THEIR DELIVERY")
    return row


async def bare_copy(
    conn: "asyncpg.Connection[asyncpg.Record]", rows: list[tuple[object, ...]], batch: int
) -> float:
    """Rows a second by COPY, so many a transaction, into an identical table."""
    await conn.execute(BARE_TABLE_SQL)
    await conn.execute("checkpoint")
    began = time.perf_counter()
    for first in range(0, len(rows), batch):
        await conn.copy_records_to_table("bare", records=rows[first : first + batch])
    seconds = time.perf_counter() - began
    await conn.execute("drop table bare")
    return len(rows) / seconds
