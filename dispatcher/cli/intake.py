"""The inspector of what came in: look at it as it comes, process it again."""

import sys
from collections.abc import AsyncIterator
from typing import Annotated, Final

import orjson
import typer

from dispatcher.cli.base import (
    COMMAND_LINE,
    Json,
    execute,
    opened,
    print_json,
    until_stopped,
    within,
)
from dispatcher.cli.plain import say
from dispatcher.cli.sources import SourceName, named
from dispatcher.context import Context
from dispatcher.intake import events
from dispatcher.intake.sources import Source
from dispatcher.web.answers import Reply
from dispatcher.web.intake.events import event_view, replay
from dispatcher.web.intake.models import EventView, IntakeTaken

app = typer.Typer(
    help="What sources sent lately, what it became, and processing it again.",
    no_args_is_help=True,
)
EVERY_S: Final = 1.0
_PAYLOAD: Final = 300


def register(parent: typer.Typer) -> None:
    """Add the group `intake`."""
    parent.add_typer(app, name="intake")


@app.command("tail")
def tail(
    ctx: typer.Context,
    source: SourceName,
    lines: Annotated[
        int, typer.Option("-n", "--lines", help="How many.", min=1, max=events.KEPT_EVENTS)
    ] = 10,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """The last events of a source, oldest first; --json prints a line for each."""

    async def work() -> None:
        async with opened(ctx) as built:
            async for view in _events(built, await named(built, source), lines, follow=follow):
                _print_event(view, as_json=as_json)

    execute(work())


async def _events(
    built: Context, source: Source, lines: int, *, follow: bool
) -> AsyncIterator[EventView]:
    async with built.pool.acquire() as conn:
        seen = await events.list_events(conn, source.id, before=None, limit=lines)
    for item in reversed(seen):
        yield event_view(built, item)
    last = seen[0].id if seen else 0
    if not follow:
        return
    async with until_stopped() as stop:
        while not stop.is_set():
            await built.clock.sleep(EVERY_S)
            async with built.pool.acquire() as conn:
                fresh = await events.events_since(
                    conn, source.id, after=last, limit=events.KEPT_EVENTS
                )
            for item in fresh:
                last = item.id
                yield event_view(built, item)


@app.command("replay")
def process_again(
    ctx: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Its id, evt_…")],
    force: Annotated[
        bool, typer.Option("--force", help="Even if it became something already: it will twice.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Process an event again, as after a correction of its source."""

    async def work(built: Context) -> Reply:
        return await replay(built, event, forced=force, actor=COMMAND_LINE)

    reply = within(ctx, work)
    content = reply.content
    if as_json:
        print_json(content.model_dump(mode="json"))
    elif isinstance(content, IntakeTaken):
        before = "It was taken before: " if "Idempotency-Replayed" in reply.headers else ""
        say(f"{before}{content.became} {content.update_id} of {content.incident_id}.")
    else:
        say(f"Ignored: {content.model_dump()['ignored']}.")


def _print_event(view: EventView, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(view.model_dump(mode="json")).decode() + "\n")
        sys.stdout.flush()
        return
    became = f"{view.became} {view.update_id}" if view.became else ""
    told = ": ".join(part for part in (became, view.detail) if part)
    say(f"{view.at:%Y-%m-%d %H:%M:%S}  {view.outcome:<9}  {view.id}  {told}")
    if view.payload is not None:
        shown = orjson.dumps(view.payload).decode()
        say(f"  {shown if len(shown) <= _PAYLOAD else shown[:_PAYLOAD] + '…'}")
