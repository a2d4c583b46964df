"""API keys: create, list, rotate, revoke."""

from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import Exit, Failure, Json
from dispatcher.cli.listing import Cursor, Limit, print_model, print_rows, when
from dispatcher.cli.plain import say
from dispatcher.cli.sure import Yes, make_sure
from dispatcher.web.people.models import KeyMade, KeyPage, KeyRevoked, KeyView
from dispatcher.web.scopes import Scope

M = TypeVar("M", bound=BaseModel)

app = typer.Typer(help="API keys.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group `keys`."""
    parent.add_typer(app, name="keys")


@app.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for, for example monitoring.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="What it may do; may be given several times.", show_default="updates:write"
        ),
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(help="After which it ends.", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once: only a hash of it is stored."""
    body = {
        "name": name,
        "owner": "system",
        "scopes": scope or [Scope.UPDATES_WRITE],
        "expires_in_days": expires_in_days,
    }
    _print_made(_answer(ctx, KeyMade, "post_key", body=body), as_json=as_json)


@app.command("list")
def show(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """All keys, never their secrets."""
    found = _answer(ctx, KeyPage, "list_keys", query={"limit": limit, "cursor": cursor})
    if as_json:
        print_model(found)
        return
    rows = [
        (key.id, key.name, " ".join(key.scopes), _standing(key), when(key.last_used_at, "never"))
        for key in found.data
    ]
    columns = ("id", "name", "scopes", "", "last used (UTC)")
    none = "No key yet. Make one with: tidings keys create NAME"
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As in tidings keys list.")],
    *,
    overlap_hours: Annotated[
        int, typer.Option(help="How long the old key goes on working.", min=0, max=720)
    ] = 24,
    as_json: Json = False,
) -> None:
    """Replace a system's key by one like it. Both work for a while; the new one is shown once."""
    body = {"overlap_hours": overlap_hours}
    made = _answer(ctx, KeyMade, "rotate_key", path={"key_id": key_id}, body=body)
    _print_made(made, as_json=as_json)


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As in tidings keys list.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End a key at once; those that came from it by rotation are named and go on."""
    what = f"The key {key_id} ends at once and for good: whoever calls with it is refused."
    make_sure(lambda: what, yes=yes)
    ended = _answer(ctx, KeyRevoked, "revoke_key", path={"key_id": key_id})
    if ended.result == "unchanged":
        raise Failure(Exit.USAGE, f"The key {key_id!r} was revoked before.")
    if as_json:
        print_model(ended)
        return
    say(f"{key_id} is revoked.")
    for successor in ended.successors:
        say(f"{successor} came from it and is still good; to end it too:")
        say(f"  tidings keys revoke {successor}")


def _answer(ctx: typer.Context, model: type[M], operation: str, **question: Any) -> M:
    """What the API answers an admin, to whom all keys are shown."""
    return answer_to(ctx, model, operation, addresses=True, **question)


def _standing(key: KeyView) -> str:
    if key.revoked_at:
        return "revoked"
    if key.replaced_by:
        return f"replaced by {key.replaced_by}"
    return f"until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else ""


def _print_made(made: KeyMade, *, as_json: bool) -> None:
    if as_json:
        print_model(made)
    else:
        say(made.key)
        say("Keep it now: it is not shown again.", err=True)
