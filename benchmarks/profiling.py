"""Where the time of sending goes: statements from PostgreSQL's own log, functions from py-spy.

    python -m benchmarks.profiling email 100000
    python -m benchmarks.profiling sms 10000 --py-spy /usr/local/bin/py-spy

Times of statements are wall time in the server, waits for locks and the disk included. Being watched
slows things down: for rates use the benches.
"""

import argparse
import asyncio
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.meter import Meter
from benchmarks.stand import Case, Process, Stand, say, stand, start_sink
from benchmarks.story import go, plan_paused, until_sent
from channels.model import ChannelKind
from dispatcher.cli.processes import Children

SAMPLES_A_SECOND: Final = 200
STATEMENTS: Final = 30
FUNCTIONS: Final = 40
WIDTH: Final = 110
_LOGGED: Final = re.compile(
    r"duration: ([0-9.]+) ms  (parse|bind|execute|statement)[^:]*: (.*?)(?=\n[0-9]{4}-|\Z)",
    re.DOTALL,
)
_LINE_NUMBER: Final = re.compile(r":[0-9]+\)$")
CLAIMS_SQL: Final = """
select count(*) as slices, sum(epoch) as claims, max(epoch) as most
from slice where intent_at is not null
"""


async def run(kind: ChannelKind, people: int, py_spy: str) -> None:
    """Send one update with two watched workers and print what they and the database did."""
    async with stand() as place, Children(grace_s=5) as children:
        sink = await start_sink(children, place.folder)
        async with place.case(people, channels=[kind], sink=sink) as case:
            await _watch(place, case, children, py_spy)


async def _watch(place: Stand, case: Case, children: Children, py_spy: str) -> None:
    accepted = await plan_paused(case, 1)
    log = Path(await case.conn.fetchval("show data_directory")).parent / "log"
    database = await case.conn.fetchval("select current_database()")
    for setting in ("log_min_duration_statement", "log_parameter_max_length"):
        await case.conn.execute(f"alter database {database} set {setting} = 0")
    workers = await case.start_workers(2)
    begin = log.stat().st_size
    found = [place.folder / f"{worker.name}.stacks" for worker in workers]
    spies = [
        await _spy(children, py_spy, worker, file)
        for worker, file in zip(workers, found, strict=True)
    ]
    await asyncio.sleep(2)
    meter = Meter(case.postmaster, [worker.pid for worker in workers]).start()
    await go(case, accepted)
    await until_sent(case, accepted)
    meter.stop()
    for spy in spies:
        spy.send_signal(signal.SIGINT)
    await asyncio.gather(*(spy.wait() for spy in spies))
    claims = await case.conn.fetchrow(CLAIMS_SQL)
    assert claims is not None
    say(
        f"{meter.seconds:.1f} s; CPU {meter.cpu_product:.1f} s workers, {meter.cpu_postgres:.1f} s PostgreSQL"
    )
    say(f"{claims['slices']} slices, claimed {claims['claims']} times, one {claims['most']} times")
    with log.open("rb") as file:
        file.seek(begin)
        _print_statements(file.read().decode(errors="replace"))
    _print_functions([line for path in found for line in path.read_text().splitlines()])


async def _spy(
    children: Children, py_spy: str, worker: Process, file: Path
) -> "asyncio.subprocess.Process":
    options = ["-d", "600", "-r", str(SAMPLES_A_SECOND), "-f", "raw", "-o", str(file)]
    return await children.start(
        f"spy-{worker.name}", [py_spy, "record", "-p", str(worker.pid), *options], read=True
    )


def _print_statements(log: str) -> None:
    total: dict[str, float] = defaultdict(float)
    planning: dict[str, float] = defaultdict(float)
    times: Counter[str] = Counter()
    for duration, step, statement in _LOGGED.findall(log):
        name = " ".join(statement.split())[:WIDTH]
        total[name] += float(duration)
        planning[name] += float(duration) if step in {"parse", "bind"} else 0.0
        times[name] += step in {"execute", "statement"}
    whole = sum(total.values())
    print(f"\nstatements, {whole:,.0f} ms in all\n     ms    %      n  planning  statement")
    for name, spent in sorted(total.items(), key=itemgetter(1), reverse=True)[:STATEMENTS]:
        share = 100 * spent / whole
        print(f"{spent:7.0f} {share:4.1f} {times[name]:6d} {planning[name]:9.0f}  {name}")


def _print_functions(stacks: Sequence[str]) -> None:
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        alone[frames[-1]] += int(count)
        for frame in {_LINE_NUMBER.sub(")", frame) for frame in frames}:
            within[frame] += int(count)
    whole = sum(alone.values())
    for title, counter in (
        ("lines by themselves", alone),
        ("functions and what they call", within),
    ):
        print(f"\n{title}, {whole:,} samples\n   %")
        for frame, samples in counter.most_common(FUNCTIONS):
            print(f"{100 * samples / whole:4.1f}  {frame}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=[ChannelKind.EMAIL.value, ChannelKind.SMS.value])
    parser.add_argument("people", type=int)
    parser.add_argument("--py-spy", default="py-spy", help="the program, if it is not on the path")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(ChannelKind(options.kind), options.people, options.py_spy))


if __name__ == "__main__":
    main()
