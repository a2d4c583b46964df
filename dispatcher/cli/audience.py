"""Who would be told by an update, before anything is sent: numbers, and the why of one contact."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from channels.model import ChannelKind
from dispatcher.cli.base import Exit, Failure, Json, print_json, within
from dispatcher.cli.document import read_model
from dispatcher.cli.looking import print_counts
from dispatcher.cli.plain import say
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.reasons import REASONS
from dispatcher.stages.accept import UpdateIn
from dispatcher.stages.accept.revise import concerns_nobody
from dispatcher.web.preview import revision_of_body
from segments.audience import count
from segments.explain import UnknownContactError, explain
from segments.model import AudienceQuery
from segments.verdict import Verdict

app = typer.Typer(help="Who would be told by an update, and why.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group `audience`."""
    parent.add_typer(app, name="audience")


File = Annotated[
    str, typer.Argument(metavar="FILE", help="An update in YAML or JSON; - reads standard input.")
]


@app.command("count")
def count_people(ctx: typer.Context, file: File, as_json: Json = False) -> None:
    """People per segment and channel, and why some would get nothing there."""
    body = read_model(file, UpdateIn)

    async def work(built: Context) -> list[dict[str, Any]]:
        async with built.pool.acquire() as conn:
            query = await _query(conn, built, body)
            rows = await count(conn, query, built.now()) if query else []
        return [
            {
                "segment": row.segment,
                "channel": ChannelKind.from_code(row.channel).value,
                "reason": REASONS[row.reason].code or None,
                "people": row.n,
            }
            for row in rows
        ]

    rows = within(ctx, work)
    if as_json:
        print_json(rows)
    elif rows:
        print_counts(rows)
    else:
        say("Nobody: no account that uses these components has contacts there.")


@app.command("explain")
def explain_one(
    ctx: typer.Context,
    file: File,
    contact: Annotated[str, typer.Argument(help="Your id of the contact.")],
    as_json: Json = False,
) -> None:
    """Why one contact would be told, or not, on each channel."""
    body = read_model(file, UpdateIn)

    async def work(built: Context) -> tuple[list[Verdict], datetime]:
        async with built.pool.acquire() as conn:
            query = await _query(conn, built, body)
            if query is None:
                raise Failure(Exit.USAGE, "This update is for nobody at all.")
            try:
                now = built.now()
                return await explain(conn, query, contact, now), now
            except UnknownContactError as error:
                raise Failure(Exit.USAGE, str(error)) from None

    verdicts, now = within(ctx, work)
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
        return
    for verdict in verdicts:
        quiet = verdict.told and verdict.not_before > now
        later = f", not before {verdict.not_before:%H:%M} UTC" if quiet else ""
        name = ChannelKind.from_code(verdict.channel).value
        say(f"{name}: {'yes' if verdict.told else 'no'}{later}")
        for reason in verdict.reasons:
            say(f"  {reason}")


async def _query(conn: Connection, built: Context, body: UpdateIn) -> AudienceQuery | None:
    """The question that posting `body` would ask. None when nobody is concerned.

    Raises RefusedError as posting would.
    """
    now = built.now()
    revision = await revision_of_body(conn, built, body, now)
    if await concerns_nobody(conn, built, revision, now):
        return None
    return revision.audience_query(built)
