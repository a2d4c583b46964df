"""SMS at one a request, against a bare loop that posts as many requests of that size to the same sink."""

import asyncio
import time
from urllib.parse import urlencode

import aiohttp

from benchmarks.mail import measure_sending
from benchmarks.result import Aim, Row
from benchmarks.sinks import text_capacity
from benchmarks.stand import Process, Sizes, Stand, start_sink
from benchmarks.story import plan_paused
from benchmarks.wire import fetch
from channels.model import ChannelKind
from dispatcher.cli.processes import Children

AIM_RATIO = 0.65
IN_FLIGHT = 50


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """Two in five people have a phone."""
    people = sizes.of(50_000, least=1000)
    async with Children(grace_s=5) as children:
        sink = await start_sink(children, stand.folder)
        async with stand.case(people, channels=[ChannelKind.SMS], sink=sink) as case:
            accepted = await plan_paused(case, 1)
            n = await case.conn.fetchval("select sum(n)::int from slice where state = 0")
            bare, bare_cpu = await bare_loop(sink, n)
            capacity = await text_capacity(sink)
            row = await measure_sending(case, accepted, sink, "sms", "send only")
    row.bare, row.bare_what = bare, "posts/s"
    row.aims.append(Aim("of the bare loop", row.product / bare, AIM_RATIO))
    row.aims.append(Aim("sink × rate", capacity / row.product, 3))
    row.notes.append(f"the bare loop takes {bare_cpu:.3g} s of CPU for 1,000")
    row.notes.append(f"the sink alone takes {capacity:,.0f} requests/s")
    return [row]


async def bare_loop(sink: Process, n: int) -> tuple[float, float]:
    """Requests a second of one process that does nothing but post, and its CPU seconds per 1,000."""
    url = f"{sink.url}/2010-04-01/Accounts/AC{'5a' * 16}/Messages.json"
    fields = {
        "To": "+12125550100",
        "From": "+15005550006",
        "Body": "x" * 150,
        "StatusCallback": f"http://127.0.0.1:8080/v1/receipts/twilio?d={'x' * 36}#rc=3&rp=all",
        "SmartEncoded": "False",
        "ValidityPeriod": "7199",
    }
    data = urlencode(fields).encode()
    headers = {
        "Authorization": aiohttp.encode_basic_auth("AC", "bench"),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    left = iter(range(n))

    async def one(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=data, headers=headers) as answer:
                await answer.read()

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector) as session:
        began, idle = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(session) for _ in range(IN_FLIGHT)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - idle
    await fetch(f"{sink.url}/clear", "POST")
    return n / seconds, 1000 * cpu / n
