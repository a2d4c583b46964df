"""Incidents and what was said about them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from dispatcher.cli.asking import Question, answer_to, ask
from dispatcher.cli.base import Exit, Failure, Json, within
from dispatcher.cli.listing import (
    Cursor,
    Limit,
    Since,
    in_a_zone,
    print_fields,
    print_model,
    print_rows,
    when,
)
from dispatcher.cli.looking import print_words
from dispatcher.cli.plain import say
from dispatcher.context import Context
from dispatcher.stages.accept.body import SeverityName, Status
from dispatcher.web.ids import INCIDENT
from dispatcher.web.incidents import IncidentPage, UpdatePage
from dispatcher.web.models import Incident, UpdateWithRenderings

app = typer.Typer(help="What happens, and when its customers hear more.", no_args_is_help=True)
updates_app = typer.Typer(help="What was said about an incident.", no_args_is_help=True)


Which = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="Your id of it, such as INC-42, or ours, inc_…")
]


def register(parent: typer.Typer) -> None:
    """Add the groups."""
    parent.add_typer(app, name="incidents")
    parent.add_typer(updates_app, name="updates")


@app.command("list")
def list_incidents(
    ctx: typer.Context,
    *,
    state: Annotated[
        Literal["open", "resolved", "all"], typer.Option(help="Which of them.")
    ] = "open",
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Only what this one told us of.")
    ] = None,
    severity: Annotated[SeverityName | None, typer.Option(help="Only these.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    component: Annotated[
        str | None, typer.Option(metavar="COMPONENT", help="Only what concerns this one.")
    ] = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Incidents that go on, newest first, with the minutes left to the update that was promised."""
    query = {
        "state": None if state == "all" else state,
        "source": source,
        "severity": severity,
        "status": status,
        "component": component,
        "since": in_a_zone(since),
        "limit": limit,
        "cursor": cursor,
    }

    async def work(built: Context) -> tuple[IncidentPage, datetime]:
        question = Question(operation="list_incidents", query=query)
        return await ask(built, IncidentPage, question), built.now()

    found, now = within(ctx, work)
    if as_json:
        print_model(found)
        return
    rows = [
        (row.external_id, row.severity, row.status, promised(row, now), row.title)
        for row in found.data
    ]
    none = {"open": "No incident is open.", "resolved": "No incident is over yet."}
    if source or severity or status or component or since:
        none = dict.fromkeys(none, "There is no such incident.")
    print_rows(
        ("incident", "", "status", "next update", "title"),
        rows,
        none=none.get(state, "There has been no incident yet."),
        cursor=found.next_cursor,
    )


@app.command("show")
def show(ctx: typer.Context, incident: Which, as_json: Json = False) -> None:
    """One incident as it stands."""

    async def work(built: Context) -> tuple[Incident, datetime]:
        path = {"incident_id": await named(built, incident)}
        question = Question(operation="get_incident", path=path)
        return await ask(built, Incident, question), built.now()

    found, now = within(ctx, work)
    if as_json:
        print_model(found)
        return
    fields = found.model_dump(exclude={"next_update_by"})
    print_fields(fields | {"next update": promised(found, now)})
    say(f"\nWhat was said:  tidings updates list {found.external_id}")


@updates_app.command("list")
def list_updates(
    ctx: typer.Context,
    incident: Which,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """All updates of an incident, drafts too, newest first."""

    async def work(built: Context) -> UpdatePage:
        question = Question(
            operation="list_updates",
            path={"incident_id": await named(built, incident)},
            query={"limit": limit, "cursor": cursor},
        )
        return await ask(built, UpdatePage, question)

    found = within(ctx, work)
    if as_json:
        print_model(found)
        return
    rows = [(row.revision, when(row.at), row.status, row.state, row.id) for row in found.data]
    print_rows(
        ("", "at (UTC)", "status", "state", "id"),
        rows,
        none="Nothing has been said about it yet.",
        cursor=found.next_cursor,
        right=("",),
    )


@updates_app.command("show")
def show_update(
    ctx: typer.Context,
    update: Annotated[str, typer.Argument(metavar="UPDATE", help="Its id, upd_…")],
    as_json: Json = False,
) -> None:
    """One update with its facts, and every wording as it was sent."""
    found = answer_to(ctx, UpdateWithRenderings, "get_update", path={"update_id": update})
    if as_json:
        print_model(found)
        return
    print_fields(found.model_dump(exclude={"renderings", "facts", "internal"}))
    for title, facts in (("Facts", found.facts), ("For ourselves", found.internal)):
        if any(facts.values()):
            say(f"\n{title}")
            print_fields(_flat(facts))
    for rendering in found.renderings:
        print_words(f"{rendering.segment or 'public'} · {rendering.channel}", rendering.parts)
    if not found.renderings:
        say("\nIt has not been worded.")


def _flat(facts: Mapping[str, Any], above: str = "  ") -> Iterator[tuple[str, object]]:
    """Facts that have parts as one line for each part."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def promised(incident: Incident, now: datetime) -> str:
    """How long until the promised update, or since when it is missing."""
    if incident.next_update_by is None:
        return "over" if incident.resolved_at else "none promised"
    left = (incident.next_update_by - now).total_seconds()
    return f"in {_roughly(left)}" if left >= 0 else f"OVERDUE by {_roughly(-left)}"


def _roughly(seconds: float) -> str:
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // (24 * 60)
    if days > 1:
        return f"{days} days"
    return f"{hours} h {minutes % 60:02d} min" if hours else f"{minutes} min"


async def named(built: Context, text: str) -> str:
    """Our id of the incident that is meant. Raises Failure where that is none, or not one."""
    if text.startswith(f"{INCIDENT}_"):
        return text
    question = Question(operation="list_incidents", query={"external_id": text, "limit": 2})
    found = (await ask(built, IncidentPage, question)).data
    if not found:
        raise Failure(Exit.USAGE, f"There is no such incident: {text!r}.")
    if len(found) > 1:
        several = " and ".join(f"{row.id} of {row.source}" for row in found)
        raise Failure(Exit.USAGE, f"{text!r} may be {several}: name it by that id.")
    return found[0].id
