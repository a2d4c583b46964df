"""`python -m benchmarks [NAME…]`: run benches, print a table, write JSON."""

import argparse
import asyncio
import platform
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import psutil
import uvloop

from benchmarks import banner, fanout, growth, mail, receipts, texts, urgency, workers
from benchmarks.result import Row, draw
from benchmarks.stand import Sizes, Stand, say, stand

Bench = Callable[[Stand, Sizes], Awaitable[list[Row]]]

BENCHES: Final[Mapping[str, Bench]] = {
    "fanout": fanout.run,
    "email": mail.run,
    "sms": texts.run,
    "receipts": receipts.run,
    "banner": banner.run,
    "urgency": urgency.run,
    "growth": growth.run,
    "workers": workers.run,
}
QUICK: Final = 0.01
RESULTS: Final = Path(__file__).parent / "results" / "latest.json"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes (default: 1)")
    parser.add_argument("--quick", action="store_true", help=f"as --scale {QUICK}")
    parser.add_argument("--old", type=int, default=Sizes().old, help="old deliveries of `growth`")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file for the JSON")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    if options.quick:
        options.scale = QUICK
    return options


async def run(names: Sequence[str], sizes: Sizes) -> tuple[list[Row], list[str]]:
    """The benches by name, all when none is named; their rows, and what failed."""
    rows: list[Row] = []
    failed: list[str] = []
    async with stand() as place:
        for name in names or BENCHES:
            began = time.monotonic()
            say(f"{name} begins")
            try:
                found = await BENCHES[name](place, sizes)
            # Whatever it is, the minutes spent on the others are not lost.
            except Exception:  # noqa: BLE001
                traceback.print_exc()
                failed.append(name)
                continue
            for row in found:
                row.judge_house()
            rows += found
            say(f"{name} took {time.monotonic() - began:.0f} s")
    return rows, failed


async def _main(options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: what was started is ended in order.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(options.names, Sizes(options.scale, options.old))


def _document(rows: Sequence[Row], options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds),
        "scale": options.scale,
        "machine": {
            "cores": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "rows": [row.as_json() for row in rows],
    }


def main() -> None:
    """Run, print, write."""
    options = _options()
    began = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows, failed = runner.run(_main(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped; nothing of it is left")
        sys.exit(130)
    document = orjson.dumps(
        _document(rows, options, time.monotonic() - began), option=orjson.OPT_INDENT_2
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(document)
    if options.json:
        print(document.decode())
    else:
        draw(rows)
    say(f"written to {options.out}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see above")


if __name__ == "__main__":
    main()
