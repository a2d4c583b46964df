"""`tidings watch`: a dispatch while it runs, one bar per channel, from the slices' counters."""

import sys
from collections.abc import AsyncIterator
from typing import Annotated, Final

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from channels.model import ChannelKind
from dispatcher.cli.base import Exit, Failure, Json, console, number_of, within
from dispatcher.cli.newest import print_nothing_yet
from dispatcher.context import Context
from dispatcher.stages.report import latest_dispatch
from dispatcher.web.ids import DISPATCH
from dispatcher.web.report_page.progress import ChannelProgress, read_progress
from dispatcher.web.report_page.progress import Progress as State

EVERY_S: Final = 0.25


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("watch")(watch_dispatch)


def watch_dispatch(
    ctx: typer.Context,
    dispatch: Annotated[
        str | None,
        typer.Argument(metavar="[DISPATCH]", help="Its id, dsp_…; without one, the newest."),
    ] = None,
    proofs: Annotated[
        float, typer.Option(help="Stay up to so many seconds longer for proofs to come in.", min=0)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Follow a dispatch until it is over; --json prints a line whenever something has moved.

    Exit code 1 when it was cancelled, or could not be worded.
    """

    async def work(built: Context) -> State | None:
        if dispatch is None:
            async with built.pool.acquire() as conn:
                number = await latest_dispatch(conn)
        else:
            number = number_of(built.signer, DISPATCH, dispatch, "dispatch")
        if number is None:
            return None
        states = follow(built, number, receipts_s=proofs)
        return await (_print_lines(states) if as_json else _draw(states))

    last = within(ctx, work)
    if last is None:
        print_nothing_yet(as_json=as_json)
    elif last.failed is not None:
        raise Failure(Exit.DIFFERS, f"The update could not be worded: {last.failed}")
    elif last.state == "cancelled":
        raise Failure(Exit.DIFFERS, "The dispatch was cancelled before its end.")


async def watch(
    built: Context, dispatch_id: int, *, receipts_s: float = 0, silent: bool = False
) -> bool:
    """Draw bars until the dispatch is over; then up to `receipts_s` seconds more for proofs to come in.

    False when it cannot go on: the update could not be worded. `silent`: wait, but draw nothing.
    """
    last = await _draw(follow(built, dispatch_id, receipts_s=receipts_s), silent=silent)
    return last is not None and last.failed is None


async def follow(
    built: Context, dispatch_id: int, *, receipts_s: float = 0
) -> AsyncIterator[State]:
    """The state now and whenever it has changed, until the end as `watch` has it."""
    last: State | None = None
    quiet_since = built.clock.monotonic()
    while True:
        async with built.pool.acquire() as conn:
            state = await read_progress(conn, dispatch_id, now=built.now())
        if last is None or state.content != last.content:
            last, quiet_since = state, built.clock.monotonic()
            yield state
        quiet = built.clock.monotonic() - quiet_since
        if state.failed is not None or (state.over and (quiet >= receipts_s or not state.moving)):
            return
        await built.clock.sleep(EVERY_S)


async def _print_lines(states: AsyncIterator[State]) -> State | None:
    last = None
    async for last in states:
        sys.stdout.write(orjson.dumps(last.model_dump(mode="json")).decode() + "\n")
        sys.stdout.flush()
    return last


async def _draw(states: AsyncIterator[State], *, silent: bool = False) -> State | None:
    columns = (
        TextColumn("{task.description:<7}", markup=False),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
    )
    last = None
    with Progress(*columns, console=console(), disable=silent) as bars:
        tasks = {
            kind.value: bars.add_task(kind.value, total=None, told="", start=False)
            for kind in ChannelKind
        }
        async for last in states:
            for row in last.channels:
                _move(bars, tasks[row.channel], row)
        for task in bars.tasks:
            # Until the end it may still be planned.
            bars.update(task.id, visible=bool(task.total))
    return last


def _move(bars: Progress, task: int, row: ChannelProgress) -> None:
    bars.start_task(bars.tasks[task].id)
    bars.update(
        bars.tasks[task].id,
        total=row.total,
        completed=row.settled,
        told=f"{row.proof} with proof",
    )
