"""The audit log: who did what."""

from typing import Annotated

import orjson
import typer

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import Json
from dispatcher.cli.listing import Cursor, Limit, Since, Until, in_a_zone, print_model, say_more
from dispatcher.cli.plain import say
from dispatcher.web.people.models import AuditPage


def register(parent: typer.Typer) -> None:
    """Add the verb."""
    parent.command("audit")(audit)


def audit(
    ctx: typer.Context,
    *,
    actor: Annotated[str | None, typer.Option(help="user:usr_…, key:<id>, cli, …")] = None,
    thing: Annotated[
        str | None, typer.Option("--object", help="The id of what it was done to.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="Such as update.post.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Who did what to what, newest first."""
    query = {
        "actor": actor,
        "object": thing,
        "action": action,
        "since": in_a_zone(since),
        "until": in_a_zone(until),
        "limit": limit,
        "cursor": cursor,
    }
    found = answer_to(ctx, AuditPage, "list_audit", query=query)
    if as_json:
        print_model(found)
        return
    # No table: ids are long, and who looks something up copies them.
    for entry in found.data:
        say(f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.actor}  {entry.action}  {entry.object}")
        if entry.detail:
            say(f"  {orjson.dumps(entry.detail).decode()}")
    if not found.data:
        say("Nothing on record fits.")
    say_more(found.next_cursor)
