"""Dispatches: how they stand, who they were for, what became of each message, and decisions about them."""

from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import BaseModel

from channels.model import ChannelKind
from dispatcher.cli.asking import Question, answer_to, ask
from dispatcher.cli.base import Json, within
from dispatcher.cli.incidents import named
from dispatcher.cli.listing import (
    Addresses,
    Cursor,
    Limit,
    print_fields,
    print_model,
    print_rows,
    when,
)
from dispatcher.cli.newest import or_newest, print_nothing_yet
from dispatcher.cli.plain import counted, say
from dispatcher.cli.sure import Yes, make_sure
from dispatcher.context import Context
from dispatcher.stages.report.model import AccountPage, StandingWord
from dispatcher.web.deliveries import DeliveryPage
from dispatcher.web.dispatch_list import DispatchPage, DispatchState
from dispatcher.web.models import Delivery, Dispatch, DispatchControlled

_NOT_LEFT: Final = ("queued", "retrying")

M = TypeVar("M", bound=BaseModel)

app = typer.Typer(
    help="One update on its way: look at it, pause, resume or cancel it.", no_args_is_help=True
)
deliveries_app = typer.Typer(
    help="Each message of a dispatch and what became of it.", no_args_is_help=True
)

Which = Annotated[str, typer.Argument(metavar="DISPATCH", help="Its id, dsp_…")]
OrNewest = Annotated[
    str | None,
    typer.Argument(metavar="[DISPATCH]", help="Its id, dsp_…; without one, the newest."),
]


def register(parent: typer.Typer) -> None:
    """Add the groups."""
    parent.add_typer(app, name="dispatches")
    parent.add_typer(deliveries_app, name="deliveries")


def _print_whole(found: BaseModel | None, *, as_json: bool) -> None:
    if found is None:
        print_nothing_yet(as_json=as_json)
    else:
        print_model(found)


def _of_dispatch(
    ctx: typer.Context, model: type[M], operation: str, dispatch: str | None, **question: Any
) -> M | None:
    """What the operation answers of this dispatch, or of the newest; None where there is none yet."""

    async def work(built: Context) -> M | None:
        which = await or_newest(built, dispatch)
        if which is None:
            return None
        path = {"dispatch_id": which}
        return await ask(built, model, Question(operation=operation, path=path, **question))

    return within(ctx, work)


@app.command("list")
def list_all(
    ctx: typer.Context,
    incident: Annotated[
        str | None,
        typer.Option(metavar="INCIDENT", help="Only of this one: your id of it, or inc_…"),
    ] = None,
    state: Annotated[
        DispatchState | None, typer.Option(help="Only dispatches that are so.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Dispatches, newest first."""

    async def work(built: Context) -> DispatchPage:
        which = None if incident is None else await named(built, incident)
        query = {"incident": which, "state": state, "limit": limit, "cursor": cursor}
        return await ask(built, DispatchPage, Question(operation="list_dispatches", query=query))

    found = within(ctx, work)
    if as_json:
        print_model(found)
        return
    rows = [
        (
            when(row.created_at),
            row.external_id,
            "paused" if row.paused else row.state,
            when(row.completed_at, "-"),
            row.id,
        )
        for row in found.data
    ]
    columns = ("begun (UTC)", "incident", "state", "over (UTC)", "id")
    print_rows(columns, rows, none="There is no such dispatch.", cursor=found.next_cursor)


@app.command("show")
def show(ctx: typer.Context, dispatch: OrNewest = None, as_json: Json = False) -> None:
    """How a dispatch stands, and how many messages have which status."""
    found = _of_dispatch(ctx, Dispatch, "get_dispatch", dispatch)
    if found is None or as_json:
        _print_whole(found, as_json=as_json)
        return
    fields = found.model_dump(exclude={"deliveries", "paused"})
    print_fields(fields | {"state": "paused" if found.paused else found.state})
    for status, n in found.deliveries.items():
        say(f"{n:>9} {status}")


@app.command("accounts")
def accounts(
    ctx: typer.Context,
    dispatch: OrNewest = None,
    standing: Annotated[
        StandingWord | None, typer.Option(help="Only customers that stand so.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only names that contain it.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """The customers of a dispatch, worst first: who was told, when first, and how many."""
    query = {"standing": standing, "search": search or "", "limit": limit, "cursor": cursor}
    found = _of_dispatch(ctx, AccountPage, "list_dispatch_accounts", dispatch, query=query)
    if found is None or as_json:
        _print_whole(found, as_json=as_json)
        return
    rows = [
        (
            row.account,
            row.name,
            f"{row.notified}/{row.people}",
            row.standing,
            when(row.first_told_at, "-"),
        )
        for row in found.data
    ]
    columns = ("account", "name", "told", "standing", "first told (UTC)")
    print_rows(columns, rows, none="No customer stands so.", cursor=found.next_cursor)


@app.command("cancel")
def cancel(ctx: typer.Context, dispatch: Which, yes: Yes = False, as_json: Json = False) -> None:
    """Withdraw what has not left, after asking. It cannot be taken back; what has left, neither."""

    def what() -> str:
        found = answer_to(ctx, Dispatch, "get_dispatch", path={"dispatch_id": dispatch})
        waiting = sum(found.deliveries.get(status, 0) for status in _NOT_LEFT)
        so_far = " so far" if found.state == "planning" else ""
        return (
            f"Withdraw what has not left of {found.external_id}: "
            f"{counted(waiting, 'message')}{so_far}. Nobody can send them after that."
        )

    make_sure(what, yes=yes)
    _decide(ctx, "cancel_dispatch", dispatch, "withdrawn", as_json=as_json)


@app.command("pause")
def pause(ctx: typer.Context, dispatch: Which, as_json: Json = False) -> None:
    """Hold what has not left, until it is resumed."""
    _decide(ctx, "pause_dispatch", dispatch, "held", as_json=as_json)


@app.command("resume")
def resume(ctx: typer.Context, dispatch: Which, as_json: Json = False) -> None:
    """Let a paused dispatch go on."""
    _decide(ctx, "resume_dispatch", dispatch, "going on", as_json=as_json)


def _decide(ctx: typer.Context, operation: str, dispatch: str, done: str, *, as_json: bool) -> None:
    found = answer_to(ctx, DispatchControlled, operation, path={"dispatch_id": dispatch})
    if as_json:
        print_model(found)
        return
    say(f"{found.changed} {done}.")
    for status, n in found.deliveries.items():
        say(f"{n:>9} {status}")


_Statuses = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STATUS",
        help="Only messages that stand so, such as failed; may be repeated.",
    ),
]
_Reasons = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REASON",
        help="Only messages for which this is the reason, such as no_address; may be repeated.",
    ),
]


@deliveries_app.command("list")
def list_deliveries(
    ctx: typer.Context,
    dispatch: OrNewest = None,
    *,
    channel: Annotated[ChannelKind | None, typer.Option(help="Only messages on this one.")] = None,
    status: _Statuses = None,
    reason: _Reasons = None,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Only to this customer, by your id of it.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(metavar="CONTACT", help="Only to this person, by your id of them.")
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(metavar="SEGMENT", help="Only in the words of this segment, or public."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    addresses: Addresses = False,
    as_json: Json = False,
) -> None:
    """Every message of a dispatch with its status; --json has the history of each."""
    query = {
        "channel": channel,
        "status": ",".join(status) if status else None,
        "reason": ",".join(reason) if reason else None,
        "account": account,
        "contact": contact,
        "segment": segment,
        "limit": limit,
        "cursor": cursor,
    }
    found = _of_dispatch(
        ctx, DeliveryPage, "list_deliveries", dispatch, query=query, addresses=addresses
    )
    if found is None or as_json:
        _print_whole(found, as_json=as_json)
        return
    columns = ("channel", "to", "account", "status", "since (UTC)")
    print_rows(
        columns,
        [_cells(row) for row in found.data],
        none="There is no such message.",
        cursor=found.next_cursor,
    )


def _cells(row: Delivery) -> tuple[object, ...]:
    why = f": {row.reason_text}" if row.reason_text else ""
    latest = max((fact.at for fact in row.timeline), default=row.settled_at or row.sent_at)
    copy = "" if row.purpose == "notice" else f" ({row.purpose})"
    who = row.address or row.contact or "-"
    return (row.channel + copy, who, row.account or "-", row.status + why, when(latest, "-"))
