"""Addresses that must not be used."""

from typing import Annotated, Literal

import typer

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import Json
from dispatcher.cli.document import STDIN, read_text
from dispatcher.cli.listing import Addresses, Cursor, Limit, print_model, print_rows, when
from dispatcher.cli.plain import say
from dispatcher.web.customer_models import Stored
from dispatcher.web.suppressions import ReasonWord, SuppressionPage

app = typer.Typer(help="Addresses that must not be used, and why.", no_args_is_help=True)

Kind = Annotated[
    Literal["email", "sms", "banner"], typer.Argument(metavar="CHANNEL", help="email, sms, banner")
]
Address = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="Mail address, phone number, or app user; - reads it from standard input.",
    ),
]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="suppressions")


@app.command("list")
def list_all(
    ctx: typer.Context,
    *,
    channel: Annotated[
        Literal["email", "sms", "banner"] | None, typer.Option(help="Only addresses of this one.")
    ] = None,
    reason: Annotated[ReasonWord | None, typer.Option(help="Only those for this.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    addresses: Addresses = False,
    as_json: Json = False,
) -> None:
    """All of them, with who decided it and when."""
    query = {"channel": channel, "reason": reason, "limit": limit, "cursor": cursor}
    found = answer_to(ctx, SuppressionPage, "list_suppressions", query=query, addresses=addresses)
    if as_json:
        print_model(found)
        return
    rows = [
        (row.channel, row.address or "(forgotten)", row.reason, row.source, when(row.at))
        for row in found.data
    ]
    columns = ("channel", "address", "why", "by", "since (UTC)")
    none = "No address is suppressed: every one may be used."
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


@app.command("add")
def add(ctx: typer.Context, channel: Kind, address: Address, as_json: Json = False) -> None:
    """Never use an address again."""
    _change(ctx, "add_suppression", channel, address, as_json=as_json)


@app.command("remove")
def remove(ctx: typer.Context, channel: Kind, address: Address, as_json: Json = False) -> None:
    """Allow an address again."""
    _change(ctx, "remove_suppression", channel, address, as_json=as_json)


def _change(
    ctx: typer.Context, operation: str, channel: str, address: str, *, as_json: bool
) -> None:
    text = read_text(STDIN).strip() if address == STDIN else address
    found = answer_to(ctx, Stored, operation, body={"channel": channel, "address": text})
    if as_json:
        print_model(found)
        return
    says = {"added": "It will not be used again.", "removed": "It may be used again."}
    say(says.get(found.result, "It was so already."))
