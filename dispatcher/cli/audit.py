"""The audit log: who did what."""

from typing import Annotated

import orjson
import typer

from dispatcher.cli.base import Json, print_json, within
from dispatcher.cli.listing import Since, Until, in_a_zone
from dispatcher.cli.plain import say
from dispatcher.context import Context
from dispatcher.web.people.audit_log import read_audit
from dispatcher.web.people.models import AuditEntry, AuditQuery
from dispatcher.web.reading import as_model


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
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=100_000)] = 50,
    as_json: Json = False,
) -> None:
    """Who did what to what, newest first."""
    between = {"since": in_a_zone(since), "until": in_a_zone(until)}
    given = {"actor": actor, "object": thing, "action": action, **between}
    query = as_model(given, AuditQuery)

    async def work(built: Context) -> list[AuditEntry]:
        async with built.pool.acquire() as conn:
            return await read_audit(conn, query, before=None, limit=limit)

    found = within(ctx, work)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in found])
        return
    # No table: ids are long, and who looks something up copies them.
    for entry in found:
        say(f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.actor}  {entry.action}  {entry.object}")
        if entry.detail:
            say(f"  {orjson.dumps(entry.detail).decode()}")
    if not found:
        say("Nothing on record fits.")
