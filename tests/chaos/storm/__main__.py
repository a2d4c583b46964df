"""`make chaos SEEDS=200`: that many storms, two at a time; exit 1 when anything was lost or doubled."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.processes import Nursery
from tests.chaos.storm.judge import Verdict
from tests.chaos.storm.play import play
from tests.chaos.storm.table import as_json, line, table
from tests.clusters import cluster_of


def main() -> int:
    """Play what the arguments ask for, print a line a storm and a table at the end."""
    asked = _arguments()
    seeds = asked.seed or range(asked.first, asked.first + asked.seeds)
    with (
        tempfile.TemporaryDirectory(prefix="tidings-storm-") as folder,
        cluster_of(f"storm-{os.getpid()}", int(os.environ.get("TIDINGS_TEST_PG", "18"))) as cluster,
        Nursery() as nursery,
    ):
        logs = Path(asked.logs or folder)
        verdicts = asyncio.run(_play_all(nursery, cluster, seeds, asked.jobs, logs))
    print(as_json(verdicts) if asked.json else f"\n{table(verdicts)}")  # noqa: T201 - its output
    failed = [verdict.seed for verdict in verdicts if not verdict.survived]
    if failed:
        again = " ".join(f"--seed {seed}" for seed in failed)
        _say(f"\nOnce more: python -m tests.chaos.storm {again} --logs /tmp/storm")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.storm", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, action="append", help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="storms at a time")
    parser.add_argument("--json", action="store_true", help="totals and every storm as JSON")
    parser.add_argument("--logs", help="a folder in which the logs of all processes are kept")
    return parser.parse_args()


async def _play_all(
    nursery: Nursery, cluster: str, seeds: Sequence[int], jobs: int, logs: Path
) -> list[Verdict]:
    room = asyncio.Semaphore(jobs)

    async def one(seed: int) -> Verdict:
        async with room:
            folder = logs / f"seed-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            verdict = await play(nursery, cluster, seed, folder)
            _say(line(verdict))
            return verdict

    return list(await asyncio.gather(*(one(seed) for seed in seeds)))


def _say(text: str) -> None:
    # Standard output is for the result.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
