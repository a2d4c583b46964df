"""E-mail end to end at 1,000 a request: release → send → record, by real workers over real HTTP."""

import asyncio
import time

from benchmarks.meter import Meter, size
from benchmarks.result import Aim, Row
from benchmarks.sinks import mail_capacity
from benchmarks.stand import Case, Process, Sizes, Stand, say, start_sink, stats
from benchmarks.story import SPAN_SQL, accept, go, plan_paused, until_sent
from channels.model import ChannelKind
from dispatcher.cli.processes import Children
from dispatcher.stages.accept import AcceptedUpdate

WORKERS = 2
AIM_SEND, AIM_RECEIPTS = 40_000, 20_000
BATCH = 1000
BARE_ROWS_SQL = "insert into bare select * from delivery where update_id = $1 and channel = 1"
BARE_KEYS_SQL = """
select array_agg(endpoint_id order by endpoint_id) from (
    select endpoint_id, (row_number() over (order by endpoint_id) - 1) / 1000 as batch from bare) t
group by batch order by batch
"""
BARE_UPDATE_SQL = """
update bare set state = 1, evidence = evidence | 1, sent_at = $3, done_at = $3
where update_id = $1 and channel = 1 and purpose = 1 and endpoint_id = any($2::bigint[])
"""
APPLIED_SQL = """
select not exists (select from receipt_batch)
   and (select coalesce(sum(n_by_status[4]), 0) from slice where dispatch_id = $1) >= $2
"""


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """Send only; with a receipt each; and everything from the accepted update on."""
    n = sizes.of(200_000, least=2000)
    rows = []
    for name, variant in (
        ("send only", send_only),
        ("a receipt each", with_receipts),
        ("from accept", whole),
    ):
        async with Children(grace_s=5) as children:
            rows.append(await variant(stand, children, n, name))
    return rows


async def send_only(stand: Stand, children: Children, n: int, name: str) -> Row:
    sink = await start_sink(children, stand.folder)
    async with stand.case(n, channels=[ChannelKind.EMAIL], sink=sink) as case:
        accepted = await plan_paused(case, 1)
        bare = await bare_writes(case, accepted)
        capacity = await mail_capacity(sink)
        row = await measure_sending(case, accepted, sink, "email", name)
        row.bare, row.bare_what = bare, "updates/s"
        row.aims.append(Aim("mails/s", row.product, AIM_SEND))
        row.aims.append(Aim("sink × rate", capacity / row.product, 3))
        row.notes.append(f"the sink alone takes {capacity:,.0f} recipients/s")
        return row


async def measure_sending(
    case: Case,
    accepted: AcceptedUpdate,
    sink: Process,
    bench: str,
    name: str,
    *,
    workers: int = WORKERS,
) -> Row:
    """Workers wait, the dispatch resumes, the last slice ends: that span."""
    before = await size(case.conn)
    processes = await case.start_workers(workers)
    got = (await stats(sink))["recipients"]
    meter = Meter(case.postmaster, [one.pid for one in processes], [sink.pid]).start()
    began = time.time()
    await go(case, accepted)
    await until_sent(case, accepted)
    meter.stop()
    span = await case.conn.fetchrow(SPAN_SQL, accepted.dispatch_id)
    assert span is not None
    seconds = span["last_at"].timestamp() - began
    sent = (await stats(sink))["recipients"] - got
    row = Row(
        bench=bench,
        case=name,
        unit="/s",
        product=span["n"] / seconds,
        n=span["n"],
        seconds=seconds,
        db_bytes=await size(case.conn) / span["planned"],
        costs=meter.costs(span["n"]),
    )
    row.notes.append(
        f"{before / span['planned']:.0f} bytes a delivery were there when it was planned"
    )
    if sent != span["n"]:
        row.notes.append(f"THE SINK GOT {sent:,} RECIPIENTS FOR {span['n']:,} DELIVERIES")
    say(f"{bench} {name}: {span['n']:,} in {seconds:.2f} s = {row.product:,.0f}/s")
    return row


async def with_receipts(stand: Stand, children: Children, n: int, name: str) -> Row:
    async with stand.case(n, channels=[ChannelKind.EMAIL]) as case:
        sink = await start_sink(children, stand.folder, receipts=case.ctx.settings.public_url)
        case.environment["TIDINGS_SENDGRID__BASE_URL"] = sink.url
        web = await case.start_web()
        accepted = await plan_paused(case, 1)
        bare = await bare_writes(case, accepted)
        processes = [web, *await case.start_workers(WORKERS)]
        meter = Meter(case.postmaster, [one.pid for one in processes], [sink.pid]).start()
        await go(case, accepted)
        await until_sent(case, accepted)
        sent_s = time.perf_counter() - meter.began
        count = await case.conn.fetchval(
            "select sum(n)::int from slice where dispatch_id = $1 and intent_at is not null",
            accepted.dispatch_id,
        )
        await case.until(APPLIED_SQL, accepted.dispatch_id, count, what="receipts")
        meter.stop()
        found = await stats(sink)
        row = Row(
            bench="email",
            case=name,
            unit="/s",
            product=count / meter.seconds,
            bare=bare,
            bare_what="updates/s",
            n=count,
            seconds=meter.seconds,
            db_bytes=await size(case.conn) / count,
            costs=meter.costs(count),
        )
        row.aims.append(Aim("mails/s", row.product, AIM_RECEIPTS))
        row.notes.append(f"all mails were out after {sent_s:.1f} s of {meter.seconds:.1f} s")
        if found["receipts_refused"]:
            row.notes.append(f"{found['receipts_refused']:,} RECEIPTS WERE REFUSED")
        say(f"email {name}: {count:,} in {meter.seconds:.2f} s = {row.product:,.0f}/s")
        return row


async def whole(stand: Stand, children: Children, n: int, name: str) -> Row:
    """What a customer of ours would see: nothing is prepared, workers also plan."""
    sink = await start_sink(children, stand.folder)
    async with stand.case(n, channels=[ChannelKind.EMAIL], sink=sink) as case:
        processes = await case.start_workers(WORKERS)
        meter = Meter(case.postmaster, [one.pid for one in processes], [sink.pid]).start()
        began = time.time()
        accepted = await accept(case, 1)
        await until_sent(case, accepted)
        meter.stop()
        span = await case.conn.fetchrow(SPAN_SQL, accepted.dispatch_id)
        assert span is not None
        seconds = span["last_at"].timestamp() - began
        row = Row(
            bench="email",
            case=name,
            unit="/s",
            product=span["n"] / seconds,
            n=span["n"],
            seconds=seconds,
            db_bytes=await size(case.conn) / span["planned"],
            costs=meter.costs(span["n"]),
        )
        row.notes.append(f"first mail after {span['first_at'].timestamp() - began:.2f} s")
        say(f"email {name}: {span['n']:,} in {seconds:.2f} s = {row.product:,.0f}/s")
        return row


async def bare_writes(case: Case, accepted: AcceptedUpdate, *, connections: int = 2) -> float:
    """Rows a second when only the result of each delivery is written, a thousand a statement."""
    conn = case.conn
    await conn.execute("create table bare (like delivery including all) with (fillfactor = 65)")
    await conn.execute(BARE_ROWS_SQL, accepted.update_id)
    # As the plan stage does: otherwise the statements would be planned for an empty table.
    await conn.execute("analyze bare")
    batches = [row[0] for row in await conn.fetch(BARE_KEYS_SQL)]
    await conn.execute("checkpoint")
    left, count = iter(batches), sum(map(len, batches))

    async def one() -> None:
        async with case.ctx.pool.acquire() as own:
            for batch in left:
                await own.execute(BARE_UPDATE_SQL, accepted.update_id, batch, case.ctx.now())

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    seconds = time.perf_counter() - began
    await conn.execute("drop table bare")
    return count / seconds
