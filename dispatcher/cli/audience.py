"""Who would be told, before anything is sent: numbers, and the why of one contact."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from channels.model import ChannelKind
from dispatcher.cli.base import CLOCK, Exit, Failure, Json, console, print_json, table, within
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.audience import audience_query
from dispatcher.rules.policy import Severity
from dispatcher.rules.reasons import REASONS
from segments.audience import count
from segments.explain import UnknownContactError, explain
from segments.model import AudienceQuery
from segments.store import resolve_accounts, resolve_components
from segments.verdict import Verdict

app = typer.Typer(help="Who would be told, and why.", no_args_is_help=True)

Components = Annotated[list[str] | None, typer.Option("--component", help="Affected component.")]
Level = Annotated[str, typer.Option("--severity", help="P0, P1, P2, P3 or planned.")]
Seen = Annotated[str, typer.Option("--visibility", help="public, customers, accounts or internal.")]
Segments = Annotated[list[str] | None, typer.Option("--segment", help="Only this segment.")]
Regions = Annotated[list[str] | None, typer.Option("--region", help="Only usage in this region.")]
Accounts = Annotated[list[str] | None, typer.Option("--account", help="Only this account.")]
Excluded = Annotated[list[str] | None, typer.Option("--exclude", help="Not this account.")]


@app.command("count")
def count_people(
    ctx: typer.Context,
    *,
    component: Components = None,
    severity: Level = "P1",
    visibility: Seen = "customers",
    segment: Segments = None,
    region: Regions = None,
    account: Accounts = None,
    exclude: Excluded = None,
    as_json: Json = False,
) -> None:
    """People per segment and channel, and why some would get nothing there."""
    asked = _Asked(
        severity=severity,
        visibility=visibility,
        components=component or [],
        segments=segment or [],
        regions=region or [],
        accounts=account or [],
        excluded=exclude or [],
    )

    async def work(built: Context) -> list[dict[str, Any]]:
        async with built.pool.acquire() as conn:
            query = await _query(conn, built, asked)
            return [
                {
                    "segment": row.segment,
                    "channel": ChannelKind.from_code(row.channel).value,
                    "reason": REASONS[row.reason].code or None,
                    "people": row.n,
                }
                for row in await count(conn, query, built.now())
            ]

    rows = within(ctx, work)
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("Nobody: no account that uses these components has contacts there.")
        return
    print_counts(rows)


def print_counts(rows: Sequence[dict[str, Any]]) -> None:
    """Audience numbers as a table; also of a dry run."""
    cells = [
        (row["segment"], row["channel"], row["people"], row["reason"] or "would be told")
        for row in rows
    ]
    console().print(table(("segment", "channel", "people", "outcome"), cells, right=("people",)))


@app.command("explain")
def explain_one(
    ctx: typer.Context,
    contact: Annotated[str, typer.Argument(help="Your id of the contact.")],
    *,
    component: Components = None,
    severity: Level = "P1",
    visibility: Seen = "customers",
    segment: Segments = None,
    region: Regions = None,
    account: Accounts = None,
    exclude: Excluded = None,
    as_json: Json = False,
) -> None:
    """Why one contact would be told, or not, on each channel."""
    asked = _Asked(
        severity=severity,
        visibility=visibility,
        components=component or [],
        segments=segment or [],
        regions=region or [],
        accounts=account or [],
        excluded=exclude or [],
    )

    async def work(built: Context) -> list[Verdict]:
        async with built.pool.acquire() as conn:
            query = await _query(conn, built, asked)
            try:
                return await explain(conn, query, contact, built.now())
            except UnknownContactError as error:
                raise Failure(Exit.USAGE, str(error)) from None

    verdicts = within(ctx, work)
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
        return
    for verdict in verdicts:
        name = ChannelKind.from_code(verdict.channel).value
        later = (
            f", not before {verdict.not_before:%H:%M UTC}"
            if verdict.not_before > CLOCK.now()
            else ""
        )
        typer.echo(f"{name}: {'yes' + later if verdict.told else 'no'}")
        for reason in verdict.reasons:
            typer.echo(f"  {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The options of a question, with the ids its asker uses."""

    severity: str
    visibility: str
    components: list[str]
    segments: list[str]
    regions: list[str]
    accounts: list[str]
    excluded: list[str]


async def _query(conn: Connection, built: Context, asked: _Asked) -> AudienceQuery:
    """The question in our ids. Raises Failure naming what is unknown."""
    if asked.severity not in Severity.__members__:
        raise Failure(Exit.USAGE, f"--severity must be one of {', '.join(Severity.__members__)}.")
    if not asked.components and not asked.accounts:
        raise Failure(Exit.USAGE, "Name at least one --component, or --account.")
    named = [*asked.accounts, *asked.excluded]
    component_ids = await resolve_components(conn, asked.components)
    account_ids = await resolve_accounts(conn, named)
    _refuse_unknown("segment", asked.segments, built.segment_rules.segments)
    _refuse_unknown("component", asked.components, component_ids)
    _refuse_unknown("account", named, account_ids)
    try:
        return audience_query(
            built.policy,
            built.segment_rules,
            severity=Severity[asked.severity],
            visibility=asked.visibility,
            component_ids=list(component_ids.values()),
            audience={
                "segments": asked.segments,
                "regions": asked.regions,
                "account_ids": [account_ids[name] for name in asked.accounts],
                "exclude": [account_ids[name] for name in asked.excluded],
            },
        )
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None


def _refuse_unknown(what: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise Failure(Exit.USAGE, f"There is no {what} {name!r}.")
