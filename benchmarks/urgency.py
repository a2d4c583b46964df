"""A P0 among a million: from the 202 to its first message, while less urgent mails wait and leave."""

import asyncio
import os
import time

import aiohttp

from benchmarks.meter import Meter
from benchmarks.result import Aim, Row
from benchmarks.sink import MARK
from benchmarks.stand import Case, Process, Sizes, Stand, say, start_sink, stats
from benchmarks.story import body, go, word
from channels.model import ChannelKind
from dispatcher.cli.processes import Children
from dispatcher.rules.states import DeliveryState, SliceState
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.control import pause
from dispatcher.web.keys import create_key
from dispatcher.web.scopes import Scope

AIM_S = 0.5
UPDATES = 20
WORKERS = 2
SHIPPED_LIMIT = 20_000
# What the fan-out would have made of everybody's mail, in one go.
WAITING_SQL = f"""
with p as materialized (
    select ce.endpoint_id, c.account_id, ce.address_id, c.version_id,
           $2::bigint + (row_number() over (order by ce.endpoint_id) - 1) / 1000 as slice_id
    from contact_endpoint ce join contact c on c.id = ce.contact_id where ce.channel = 1
), d as (
    insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version,
                          channel, purpose, state)
    select $1, endpoint_id, account_id, slice_id, address_id, version_id, 1, 1, {DeliveryState.PLANNED:d}
    from p
)
insert into slice (id, update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose,
                   lane, state, n, not_before, expires_at, endpoint_ids, n_by_status)
select p.slice_id, $1, s.incident_id, s.id,
       (select min(id) from rendering where update_id = $1 and channel = 1),
       (select min(id) from sender where channel = 1), 1, 1, 3, {SliceState.WAITING:d}, count(*), now(),
       now() + interval '1 hour', array_agg(p.endpoint_id order by p.endpoint_id),
       array[count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]::int[]
from p, dispatch s where s.update_id = $1 group by p.slice_id, s.incident_id, s.id
"""
PLANNED_SQL = """
with u as (update incident_update set state = 'planned' where id = $1)
update dispatch set state = 'sending', planned_at = now() where update_id = $1
"""
UNDER_WAY_SQL = """
select exists (select from dispatch d where d.update_id = (
                   select max(id) from incident_update where severity = 0) and d.state = 'planning')
    or exists (select from slice where lane = 0 and state < 3)
"""
STILL_SQL = "select coalesce(sum(n), 0)::int from slice where update_id = $1 and state = 0"


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """Where no limit binds, workers are busy to the brim; at the shipped limit, moments are reserved."""
    n = sizes.of(1_000_000, least=1000)
    updates = UPDATES if sizes.scale >= 0.1 else 3
    return [
        await _case(stand, n, updates, None, "no limit binds"),
        await _case(stand, n, updates, SHIPPED_LIMIT, f"{SHIPPED_LIMIT:,} mails/s"),
    ]


async def _case(stand: Stand, n: int, updates: int, limit: int | None, name: str) -> Row:
    limits = {ChannelKind.EMAIL: limit} if limit else None
    async with Children(grace_s=5) as children:
        sink = await start_sink(children, stand.folder)
        async with stand.case(n, limits=limits, sink=sink) as case:
            web = await case.start_web()
            waiting = await _fill(case)
            workers = await case.start_workers(WORKERS)
            pids = [web.pid, *(one.pid for one in workers)]
            # Without anything else to do, and as a warm-up: the reference.
            idle = await _probe(case, sink, range(1, 5))
            meter = Meter(case.postmaster, pids, [sink.pid, os.getpid()]).start()
            await go(case, waiting)
            await asyncio.sleep(2)
            waits = await _probe(case, sink, range(101, 101 + updates))
            meter.stop()
            still = await case.conn.fetchval(STILL_SQL, waiting.update_id)
            sent = (await stats(sink))["recipients"]
    p50, last = sorted(waits)[len(waits) // 2], max(waits)
    row = Row(
        bench="urgency",
        case=name,
        unit="s p50",
        product=p50,
        bare=sorted(idle[1:])[len(idle) // 2 - 1],
        bare_what="when idle",
        n=sent,
        seconds=meter.seconds,
        costs=meter.costs(sent),
    )
    row.aims.append(Aim(f"p99 (worst of {len(waits)}), s", last, AIM_S, at_most=True))
    row.notes.append(
        f"{n:,} waited at the start and {still:,} at the end; "
        "each P0 goes to one account in a hundred, one after the other"
    )
    say(f"urgency {name}: p50 {p50:.3f} s, worst {last:.3f} s")
    return row


async def _fill(case: Case) -> AcceptedUpdate:
    waiting = await word(case, 1, severity="P2")
    assert waiting.dispatch_id is not None
    first = await case.conn.fetchval("select nextval('slice_number') << 20")
    await case.conn.execute(WAITING_SQL, waiting.update_id, first)
    await case.conn.execute(PLANNED_SQL, waiting.update_id)
    async with case.ctx.pool.acquire() as conn, conn.transaction():
        await pause(conn, waiting.dispatch_id, now=case.ctx.now())
        await conn.execute("delete from pgqueuer")
    await case.conn.execute("analyze")
    await case.conn.execute("checkpoint")
    return waiting


async def _probe(case: Case, sink: Process, numbers: range) -> list[float]:
    """Seconds from the answer of the API to the first request at the provider, one P0 after another."""
    ctx = case.ctx
    async with ctx.pool.acquire() as conn:
        key = await create_key(conn, name="bench", scopes=[Scope.UPDATES_WRITE], now=ctx.now())
    waits = []
    async with aiohttp.ClientSession() as session:
        for number in numbers:
            mark = f"{MARK.decode()}{number:06d}"
            update = body(number, component="rare", severity="P0", title=f"Payments fail {mark}")
            headers = {"Authorization": f"Bearer {key.text}", "Idempotency-Key": mark}
            url = f"{ctx.settings.public_url}/v1/updates"
            async with session.post(url, json=update, headers=headers) as answer:
                accepted_at = time.time()
                if answer.status != 202:
                    raise RuntimeError(await answer.text())
            waits.append(await _first(sink, mark) - accepted_at)
            await _is_out(case)
            await asyncio.sleep(0.2)
    return waits


async def _is_out(case: Case) -> None:
    """Until the newest P0 is planned and sent: what is measured is one P0 among others, not a row of them."""
    deadline = time.monotonic() + 60
    while await case.conn.fetchval(UNDER_WAY_SQL):
        if time.monotonic() > deadline:
            raise TimeoutError("a P0 was not out within a minute")
        await asyncio.sleep(0.1)


async def _first(sink: Process, mark: str) -> float:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (found := (await stats(sink))["marks"].get(mark)) is not None:
            return float(found)
        await asyncio.sleep(0.02)
    raise TimeoutError(f"nothing of {mark} left within a minute")
