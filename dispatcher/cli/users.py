"""People: invite, look at, change, let in again."""

from typing import Annotated

import typer

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import COMMAND_LINE, Exit, Failure, Json, number_of, print_json, within
from dispatcher.cli.listing import Cursor, Limit, print_model, print_rows
from dispatcher.cli.plain import say
from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.ids import USER
from dispatcher.web.people import store
from dispatcher.web.people.models import (
    Invited,
    PasswordLink,
    UserIn,
    UserPage,
    UserPatch,
    UserView,
    as_stored,
)
from dispatcher.web.people.store import user_view
from dispatcher.web.people.users import change_user, create_user, link_user
from dispatcher.web.reading import as_model

app = typer.Typer(
    help="People who work with Tidings, and what their role lets them do.", no_args_is_help=True
)


def register(parent: typer.Typer) -> None:
    """Add the group `users`."""
    parent.add_typer(app, name="users")


Who = Annotated[str, typer.Argument(metavar="USER", help="Their e-mail, or their id, usr_…")]
RoleOption = Annotated[Role, typer.Option(help="What they may do; see docs/people.md.")]
Accounts = Annotated[
    list[str] | None,
    typer.Option("--account", metavar="ID", help="What a deputy may see besides. Repeatable."),
]


@app.command("create")
def create(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(help="By which they sign in.")],
    *,
    role: RoleOption,
    name: Annotated[str | None, typer.Option(help="What they are called.")] = None,
    account: Accounts = None,
    as_json: Json = False,
) -> None:
    """Invite somebody. The link with which they set a password is shown once."""
    given = {"email": email, "name": name or email.partition("@")[0], "role": role}
    body = as_model({**given, "account_ids": account or []}, UserIn)
    made: Invited = within(ctx, lambda built: create_user(built, body, actor=COMMAND_LINE))
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    say(f"{made.email} is here as {made.role}: {made.id}")
    _print_link(made.link)


@app.command("list")
def show_all(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """Everybody, in the order in which they came."""
    found = answer_to(ctx, UserPage, "list_users", query={"limit": limit, "cursor": cursor})
    if as_json:
        print_model(found)
        return
    rows = [
        (person.email, person.role, "disabled" if person.disabled else "", _door(person))
        for person in found.data
    ]
    none = "Nobody yet. Invite somebody: tidings users create EMAIL --role ROLE"
    columns = ("e-mail", "role", "", "signs in")
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


@app.command("show")
def show(ctx: typer.Context, user: Who, as_json: Json = False) -> None:
    """One person."""

    async def work(built: Context) -> UserView:
        async with built.pool.acquire() as conn:
            return user_view(built, await store.by_id(conn, await _number(built, user)))

    _print(within(ctx, work), as_json=as_json)


@app.command("set-role")
def set_role(
    ctx: typer.Context,
    user: Who,
    role: Annotated[Role, typer.Argument(help="What they may do from now on.")],
    as_json: Json = False,
) -> None:
    """Give another role; it counts from their next call on."""
    _change(ctx, user, UserPatch(role=role), as_json=as_json)


@app.command("disable")
def disable(ctx: typer.Context, user: Who, as_json: Json = False) -> None:
    """Shut somebody out at once, with their keys; what they did stays in the audit log."""
    _change(ctx, user, UserPatch(disabled=True), as_json=as_json)


@app.command("enable")
def enable(ctx: typer.Context, user: Who, as_json: Json = False) -> None:
    """Let somebody in again; they have to sign in anew."""
    _change(ctx, user, UserPatch(disabled=False), as_json=as_json)


@app.command("link")
def link(ctx: typer.Context, user: Who, as_json: Json = False) -> None:
    """A new link to set a password with, valid once and for a day; older ones end."""

    async def work(built: Context) -> PasswordLink:
        return await link_user(built, await _number(built, user), actor=COMMAND_LINE)

    made = within(ctx, work)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        _print_link(made)


def _change(ctx: typer.Context, user: str, body: UserPatch, *, as_json: bool) -> None:
    async def work(built: Context) -> UserView:
        return await change_user(built, await _number(built, user), body, actor=COMMAND_LINE)

    _print(within(ctx, work), as_json=as_json)


async def _number(built: Context, user: str) -> int:
    if "@" not in user:
        return number_of(built.signer, USER, user, "person")
    async with built.pool.acquire() as conn:
        found = await store.by_email(conn, as_stored(user))
    if found is None:
        raise Failure(Exit.USAGE, "Nobody here has this e-mail; see: tidings users list")
    return found.id


def _print(person: UserView, *, as_json: bool) -> None:
    if as_json:
        print_json(person.model_dump(mode="json"))
        return
    say(f"{person.name} <{person.email}>\n  id:       {person.id}")
    say(f"  role:     {person.role}{' (disabled)' if person.disabled else ''}")
    say(f"  signs in: {_door(person)}")
    if person.account_ids:
        say(f"  sees besides own accounts: {', '.join(person.account_ids)}")


def _door(person: UserView) -> str:
    doors = [("password", person.has_password), ("identity provider", person.signs_in_by_oidc)]
    return ", ".join(name for name, there in doors if there) or "not yet"


def _print_link(made: PasswordLink) -> None:
    say(
        f"token: {made.token}\n"
        f"They set a password with it, once, until {made.expires_at:%Y-%m-%d %H:%M} UTC:\n"
        f"  curl {made.url} -H 'Content-Type: application/json' \\\n"
        f'    -d \'{{"token": "{made.token}", "password": "…"}}\''
    )
    say("Keep it secret: whoever has it is let in. It is not shown again.", err=True)
