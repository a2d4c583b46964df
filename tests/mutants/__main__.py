"""`make mutants`: takes each guard out of a copy of the program and demands that its tests notice.

A guard survives where a test that should notice stays green: then the promise is not tested.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutants.guards import ROOT, Guard, read_guards

# A test that waits for what never comes takes its own patience, and not more than this.
TEST_TIMEOUT_S = 90
ALL_TIMEOUT_S = 600
_TESTS_FAILED = 1
_COUNT = re.compile(r"(\d+) (failed|passed|errors?)")


class Verdict(StrEnum):
    """What became of a program without one of its guards."""

    NOTICED = "noticed"
    SURVIVED = "survived"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`green`: tests that should have failed and did not. `tail`: the end of what pytest said."""

    name: str
    verdict: Verdict
    seconds: float
    green: tuple[str, ...] = ()
    tail: str = ""


def main() -> int:
    """Run those asked for; 1 where a guard survived or its tests could not be run."""
    asked = _arguments()
    guards = [guard for guard in read_guards() if not asked.only or guard.name in asked.only]
    if missing := set(asked.only) - {guard.name for guard in guards}:
        sys.stderr.write(f"No such guard: {', '.join(sorted(missing))}.\n")
        return 2
    console = Console(stderr=True)
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(asked.jobs) as workers:
        for outcome in workers.map(_try, guards):
            outcomes.append(outcome)
            console.print(f"{len(outcomes)}/{len(guards)} {outcome.name}: {outcome.verdict}")
    if asked.json:
        json.dump([asdict(outcome) for outcome in outcomes], sys.stdout, indent=1)
    else:
        Console().print(_table(outcomes))
    for outcome in outcomes:
        if outcome.verdict is not Verdict.NOTICED:
            console.print(f"\n{outcome.name}: {outcome.verdict} {' '.join(outcome.green)}")
            console.print(outcome.tail, markup=False, highlight=False)
    return int(any(outcome.verdict is not Verdict.NOTICED for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these guards alone")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument(
        "--json", action="store_true", help="the outcome as JSON on standard output"
    )
    return parser.parse_args()


def _try(guard: Guard) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"tidings-without-{guard.name}-") as folder:
        root = Path(folder)
        _copy(root)
        guard.remove(root)
        verdict, green, tail = Verdict.NOTICED, [], ""
        for test in guard.tests:
            said, tail = _run(root, test)
            if said is Verdict.BROKEN:
                verdict = said
                break
            if said is Verdict.SURVIVED:
                verdict = said
                green.append(test)
    return Outcome(guard.name, verdict, time.monotonic() - began, tuple(green), tail)


def _copy(root: Path) -> None:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


def _run(root: Path, test: str) -> tuple[Verdict, str]:
    """Whether a test notices, in the copy; each run makes a database of its own."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    command += [f"--timeout={TEST_TIMEOUT_S}", test]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment = {**kept, "PYTHONPATH": str(root), "TIDINGS_EXAMPLES": "60"}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=ALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Verdict.BROKEN, f"{test} took longer than {ALL_TIMEOUT_S} s"
    return _verdict(done.returncode, done.stdout), done.stdout[-2_000:]


def _verdict(code: int, said: str) -> Verdict:
    """Red counts only where a test ran and failed: what cannot even start proves nothing."""
    counts = (
        {kind.rstrip("s"): int(n) for n, kind in _COUNT.findall(said.splitlines()[-1])}
        if said
        else {}
    )
    if code == 0 and counts.get("passed"):
        return Verdict.SURVIVED
    if code == _TESTS_FAILED and counts.get("failed"):
        return Verdict.NOTICED
    return Verdict.BROKEN


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("guard", "without it", "seconds")
    for outcome in outcomes:
        table.add_row(outcome.name, outcome.verdict, f"{outcome.seconds:.0f}")
    return table


if __name__ == "__main__":
    raise SystemExit(main())
