"""Live progress of a dispatch: one bar per channel, from the slices' counters."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from channels.model import ChannelKind
from dispatcher.cli.base import console
from dispatcher.context import Context
from dispatcher.rules.states import NOTIFIED, UNSETTLED, Shown

EVERY_S: Final = 0.25

PROGRESS_SQL: Final = """
select s.channel, t.i - 1 as status, sum(t.n)::bigint as n
from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
where s.dispatch_id = $1 group by s.channel, t.i having sum(t.n) <> 0
"""
STATE_SQL: Final = """
select d.state, u.state as update_state, u.state_detail
from dispatch d join incident_update u on u.id = d.update_id where d.id = $1
"""
_OVER: Final = frozenset({"completed", "cancelled"})

Counts = Mapping[str, Mapping[Shown, int]]


async def counts_by_channel(built: Context, dispatch_id: int) -> Counts:
    """Deliveries by channel and status."""
    found: dict[str, dict[Shown, int]] = defaultdict(dict)
    for row in await built.pool.fetch(PROGRESS_SQL, dispatch_id):
        found[ChannelKind.from_code(row["channel"]).value][Shown(row["status"])] = row["n"]
    return found


async def watch(built: Context, dispatch_id: int, *, receipts_s: float = 0) -> bool:
    """Draw bars until the dispatch is over; then up to `receipts_s` seconds more for proofs to come in.

    False when it cannot go on: the update could not be worded.
    """
    columns = (
        TextColumn("{task.description:<7}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    quiet_since = built.clock.monotonic()
    last: Counts = {}
    with Progress(*columns, console=console()) as bars:
        tasks = {
            kind.value: bars.add_task(kind.value, total=None, told="", start=False)
            for kind in ChannelKind
        }
        while True:
            state = await built.pool.fetchrow(STATE_SQL, dispatch_id)
            counts = await counts_by_channel(built, dispatch_id)
            for channel, by_status in counts.items():
                _draw(bars, tasks[channel], by_status)
            if counts != last:
                last, quiet_since = counts, built.clock.monotonic()
            if state is None or state["update_state"] == "failed":
                return False
            quiet = built.clock.monotonic() - quiet_since
            if state["state"] in _OVER and (quiet >= receipts_s or _all_told(counts)):
                return True
            await built.clock.sleep(EVERY_S)


def _draw(bars: Progress, task: int, by_status: Mapping[Shown, int]) -> None:
    told = sum(n for status, n in by_status.items() if status in NOTIFIED)
    waiting = sum(n for status, n in by_status.items() if status in UNSETTLED)
    total = sum(by_status.values())
    bars.start_task(bars.tasks[task].id)
    bars.update(
        bars.tasks[task].id, total=total, completed=total - waiting, told=f"{told} with proof"
    )


def _all_told(counts: Counts) -> bool:
    """Whether no proof is outstanding; a banner waits for its reader, so it counts for nothing."""
    return not any(
        by_status.get(Shown.ACCEPTED, 0)
        for channel, by_status in counts.items()
        if channel != ChannelKind.BANNER.value
    )
