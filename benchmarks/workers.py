"""One, two and four workers against a provider that takes 50 ms for an answer."""

from benchmarks.mail import measure_sending
from benchmarks.result import Row
from benchmarks.stand import Sizes, Stand, start_sink
from benchmarks.story import plan_paused
from channels.model import ChannelKind
from dispatcher.cli.processes import Children

LATENCY_S = 0.05


async def run(stand: Stand, sizes: Sizes) -> list[Row]:
    """The reference is one worker."""
    n = sizes.of(100_000, least=2000)
    rows: list[Row] = []
    for workers in (1, 2, 4):
        async with Children(grace_s=5) as children:
            sink = await start_sink(children, stand.folder, delay=LATENCY_S)
            async with stand.case(n, channels=[ChannelKind.EMAIL], sink=sink) as case:
                accepted = await plan_paused(case, 1)
                row = await measure_sending(
                    case, accepted, sink, "workers", f"{workers}, 50 ms", workers=workers
                )
        row.bare, row.bare_what = (rows or [row])[0].product, "by one"
        rows.append(row)
    return rows
