"""What a stretch of work cost: wall time, CPU seconds by kind of process, memory, database bytes."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from benchmarks.result import Costs
from dispatcher.db import Connection

POSTMASTER_SQL: Final = "select split_part(pg_read_file('postmaster.pid'), e'\n', 1)::int"
# All that grows with deliveries; partitions count for their parents.
SIZE_SQL: Final = """
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_class c
where c.relkind = 'r'
  and c.relname ~ '^(delivery|receipt|slice$|account_update$|rendering$|dispatch)'
"""


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """CPU of a process so far; with `family` also of its children, dead and alive."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        total = float(times.user + times.system)
        if family:
            total += float(times.children_user + times.children_system)
            total += sum(cpu_seconds(child.pid) for child in process.children(recursive=True))
    except psutil.Error:
        return 0.0
    return total


def peak_rss_mb(pid: int) -> float:
    """The most memory a process has had, in MiB; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


@dataclass(slots=True)
class Meter:
    """Counts from `start` to `stop`; give it processes that live through both. `began`: of `perf_counter`."""

    postmaster: int
    product: Iterable[int] = ()
    load: Iterable[int] = ()
    seconds: float = 0.0
    cpu_product: float = 0.0
    cpu_postgres: float = 0.0
    cpu_load: float = 0.0
    rss_mb: float = 0.0
    began: float = 0.0
    _before: tuple[float, float, float, float] = field(default=(0.0, 0.0, 0.0, 0.0))

    def start(self) -> "Meter":
        self._before = self._now()
        self.began = self._before[0]
        return self

    def stop(self) -> "Meter":
        after = self._now()
        differences = [now - then for now, then in zip(after, self._before, strict=True)]
        self.seconds, self.cpu_product, self.cpu_postgres, self.cpu_load = differences
        self.rss_mb = max((peak_rss_mb(pid) for pid in self.product), default=0.0)
        return self

    def _now(self) -> tuple[float, float, float, float]:
        return (
            time.perf_counter(),
            sum(cpu_seconds(pid) for pid in self.product),
            cpu_seconds(self.postmaster, family=True),
            sum(cpu_seconds(pid) for pid in self.load),
        )

    def costs(self, n: int) -> Costs:
        """For each thousand of `n`."""
        each = 1000 / max(n, 1)
        return Costs(
            self.cpu_product * each,
            self.cpu_postgres * each,
            self.cpu_load * each,
            # This very process plans and tracks in some benches, but its memory is not a worker's.
            None if os.getpid() in self.product else self.rss_mb,
        )


async def size(conn: Connection) -> int:
    """Bytes of everything that grows with deliveries."""
    found: int = await conn.fetchval(SIZE_SQL)
    return found
