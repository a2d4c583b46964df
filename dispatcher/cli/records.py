"""Customers one by one: accounts, their people, and the components they use."""

from typing import Annotated, Any

import typer

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import Exit, Failure, Json, console
from dispatcher.cli.document import read_document
from dispatcher.cli.draw import draw_account
from dispatcher.cli.listing import (
    Addresses,
    Cursor,
    Limit,
    Since,
    Until,
    in_a_zone,
    print_fields,
    print_model,
    print_rows,
    when,
)
from dispatcher.cli.plain import say
from dispatcher.cli.sure import Yes, make_sure
from dispatcher.stages.report import AccountDeliveries
from dispatcher.web.customer_lists import AccountLines, ComponentLines, ContactLines
from dispatcher.web.customer_models import Account, Component, Contact, Stored

accounts_app = typer.Typer(
    help="Customers, and what decides whether they are told.", no_args_is_help=True
)
contacts_app = typer.Typer(
    help="People at customers, and how they are reached.", no_args_is_help=True
)
components_app = typer.Typer(help="Parts of the product that can break.", no_args_is_help=True)

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Your id of the account.")]
ContactId = Annotated[str, typer.Argument(metavar="CONTACT", help="Your id of the person.")]
ComponentId = Annotated[str, typer.Argument(metavar="COMPONENT", help="Your id of the component.")]
File = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Its fields in YAML or JSON; - reads standard input."),
]


def register(parent: typer.Typer) -> None:
    """Add the groups."""
    parent.add_typer(accounts_app, name="accounts")
    parent.add_typer(contacts_app, name="contacts")
    parent.add_typer(components_app, name="components")


@accounts_app.command("list")
def list_accounts(
    ctx: typer.Context,
    segment: Annotated[str | None, typer.Option(help="Only accounts of this one.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    addresses: Addresses = False,
    as_json: Json = False,
) -> None:
    """All accounts with their segment."""
    query = {"segment": segment, "limit": limit, "cursor": cursor}
    found = answer_to(ctx, AccountLines, "list_accounts", query=query, addresses=addresses)
    if as_json:
        print_model(found)
        return
    rows = [
        (
            row.external_id,
            row.name,
            row.segment,
            row.region,
            row.manager_name or "",
            _gone(row.removed_at),
        )
        for row in found.data
    ]
    columns = ("account", "name", "segment", "region", "manager" if addresses else "", "")
    none = "There is no account. Bring some:  tidings import accounts FILE"
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


@accounts_app.command("show")
def show_account(
    ctx: typer.Context, account: AccountId, addresses: Addresses = False, as_json: Json = False
) -> None:
    """One account, what it uses, and the rule that decided its segment."""
    path = {"external_id": account}
    found = answer_to(ctx, Account, "get_account", path=path, addresses=addresses)
    if as_json:
        print_model(found)
        return
    usage = [f"{item.component} {item.region}".strip() for item in found.usage]
    print_fields(found.model_dump() | {"usage": usage})
    say(f"\nWhat it was told:  tidings accounts deliveries {found.external_id}")


@accounts_app.command("deliveries")
def account_deliveries(
    ctx: typer.Context,
    account: AccountId,
    *,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="How many updates.", min=1, max=200)] = 5,
    cursor: Cursor = None,
    addresses: Addresses = False,
    as_json: Json = False,
) -> None:
    """What one customer got, when, and whether it arrived; newest first."""
    query = {
        "since": in_a_zone(since),
        "until": in_a_zone(until),
        "limit": limit,
        "cursor": cursor,
    }
    path = {"external_id": account}
    found = answer_to(
        ctx,
        AccountDeliveries,
        "list_account_deliveries",
        path=path,
        query=query,
        addresses=addresses,
    )
    if as_json:
        print_model(found)
    else:
        draw_account(console(), found)


@accounts_app.command("set")
def set_account(ctx: typer.Context, account: AccountId, file: File, as_json: Json = False) -> None:
    """Create or change an account. The file needs its name; what else it leaves out stays."""
    _set(ctx, "put_account", account, file, as_json=as_json)


@accounts_app.command("remove")
def remove_account(ctx: typer.Context, account: AccountId, as_json: Json = False) -> None:
    """Tell its people of nothing from now on. What happened stays; setting it again brings it back."""
    _change(ctx, "remove_account", account, as_json=as_json)


@contacts_app.command("list")
def list_contacts(
    ctx: typer.Context,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Only people of this one.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    addresses: Addresses = False,
    as_json: Json = False,
) -> None:
    """All people, and the channels on which they have an address."""
    query = {"account": account, "limit": limit, "cursor": cursor}
    found = answer_to(ctx, ContactLines, "list_contacts", query=query, addresses=addresses)
    if as_json:
        print_model(found)
        return
    rows = [
        (
            row.external_id,
            row.account,
            row.name or "",
            " ".join(row.roles),
            " ".join(row.channels) or "none",
            _gone(row.removed_at),
        )
        for row in found.data
    ]
    columns = ("contact", "account", "name" if addresses else "", "roles", "channels", "")
    none = "There is no such person. Bring some:  tidings import contacts FILE"
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


@contacts_app.command("show")
def show_contact(
    ctx: typer.Context, contact: ContactId, addresses: Addresses = False, as_json: Json = False
) -> None:
    """One person: where they can be reached, and what they want to hear of."""
    path = {"external_id": contact}
    found = answer_to(ctx, Contact, "get_contact", path=path, addresses=addresses)
    if as_json:
        print_model(found)
        return
    print_fields(found.model_dump(exclude={"reach", "wishes"}))
    say()
    reach = [
        (
            row.channel,
            row.address,
            {None: "", True: "yes", False: "no"}[row.consented],
            "must not be used" if row.suppressed else "",
        )
        for row in found.reach
    ]
    print_rows(("channel", "address", "consent", ""), reach, none="No address at all.")
    for wish in found.wishes:
        wants = "wants" if wish.wanted else "does not want"
        say(f"{wants} to hear of {wish.component or 'anything'} by {wish.channel}")


@contacts_app.command("set")
def set_contact(ctx: typer.Context, contact: ContactId, file: File, as_json: Json = False) -> None:
    """Create or change a person. The file needs name and account; what else it leaves out stays."""
    _set(ctx, "put_contact", contact, file, as_json=as_json)


@contacts_app.command("erase")
def erase_contact(
    ctx: typer.Context,
    contact: ContactId,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Forget a person: name and addresses go for good, what was sent stays under nobody's name."""
    what = (
        f"Forget {contact} for good: name, addresses and wishes. What was sent stays, as nobody's."
    )
    make_sure(lambda: what, yes=yes)
    _change(ctx, "erase_contact", contact, as_json=as_json)


@components_app.command("list")
def list_components(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """All components, and what customers read for them."""
    query = {"limit": limit, "cursor": cursor}
    found = answer_to(ctx, ComponentLines, "list_components", query=query)
    if as_json:
        print_model(found)
        return
    rows = [
        (row.external_id, row.name, row.public_name, _gone(row.removed_at)) for row in found.data
    ]
    columns = ("component", "name", "customers read", "")
    none = "There is no component. Bring some:  tidings import components FILE"
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


@components_app.command("show")
def show_component(ctx: typer.Context, component: ComponentId, as_json: Json = False) -> None:
    """One component."""
    found = answer_to(ctx, Component, "get_component", path={"external_id": component})
    if as_json:
        print_model(found)
    else:
        print_fields(found.model_dump())


@components_app.command("set")
def set_component(
    ctx: typer.Context, component: ComponentId, file: File, as_json: Json = False
) -> None:
    """Create or change a component. The file needs its name; what else it leaves out stays."""
    _set(ctx, "put_component", component, file, as_json=as_json)


def _set(ctx: typer.Context, operation: str, name: str, file: str, *, as_json: bool) -> None:
    body = read_document(file)
    if not isinstance(body, dict):
        raise Failure(Exit.USAGE, f"{file} must hold names and values.")
    if body.setdefault("external_id", name) != name:
        raise Failure(Exit.USAGE, f"{file} is about {body['external_id']!r}, not about {name!r}.")
    _change(ctx, operation, name, as_json=as_json, body=body)


def _change(
    ctx: typer.Context, operation: str, name: str, *, as_json: bool, **question: Any
) -> None:
    found = answer_to(ctx, Stored, operation, path={"external_id": name}, **question)
    if as_json:
        print_model(found)
    else:
        say(f"{name}: {found.result}.")


def _gone(removed_at: Any) -> str:
    return f"removed {when(removed_at)}" if removed_at else ""
