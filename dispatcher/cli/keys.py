"""API keys: create, list, rotate, revoke."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from dispatcher.cli.base import Exit, Failure, Json, print_json, within
from dispatcher.cli.listing import print_rows, when
from dispatcher.cli.plain import say
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.web.ids import USER
from dispatcher.web.keys import (
    NewKey,
    StoredKey,
    create_key,
    list_keys,
    lock_key,
    revoke_key,
    rotate_key,
    successors_of,
)
from dispatcher.web.scopes import Scope

app = typer.Typer(help="API keys.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group `keys`."""
    parent.add_typer(app, name="keys")


COMMAND_LINE = "cli"
"""The id under which the command line itself keeps idempotency keys; no one can present it."""


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

    async def work(built: Context) -> NewKey:
        now = built.now()
        ends = now + timedelta(days=expires_in_days) if expires_in_days else None
        async with built.pool.acquire() as conn:
            return await create_key(
                conn, name=name, scopes=scope or [Scope.UPDATES_WRITE], now=now, expires_at=ends
            )

    _print_made(within(ctx, work), as_json=as_json)


@app.command("list")
def show(ctx: typer.Context, as_json: Json = False) -> None:
    """All keys, never their secrets."""

    async def work(built: Context) -> list[tuple[StoredKey, str | None]]:
        async with built.pool.acquire() as conn:
            keys = await list_keys(conn)
        public = built.signer.public_ids(USER)
        return [(key, None if key.user_id is None else public(key.user_id)) for key in keys]

    keys = within(ctx, work)
    if as_json:
        print_json([{**asdict(key), "user_id": owner} for key, owner in keys])
        return
    rows = [
        (
            key.id,
            key.name,
            " ".join(key.scopes),
            _standing(key),
            when(key.last_used_at, "never"),
        )
        for key, _ in keys
    ]
    columns = ("id", "name", "scopes", "", "last used (UTC)")
    print_rows(columns, rows, none="No key yet. Make one with: tidings keys create NAME")


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

    async def rotated(built: Context) -> NewKey:
        async def work(conn: Connection) -> NewKey:
            old = await lock_key(conn, key_id)
            if old is None:
                raise Failure(Exit.USAGE, f"There is no key {key_id!r}; see: tidings keys list")
            return await rotate_key(
                conn, old, overlap=timedelta(hours=overlap_hours), now=built.now()
            )

        return await in_transaction(built.pool, work, rng=built.rng)

    _print_made(within(ctx, rotated), as_json=as_json)


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As in tidings keys list.")],
    as_json: Json = False,
) -> None:
    """End a key at once; those that came from it by rotation are named and go on."""

    async def work(built: Context) -> list[str] | None:
        async with built.pool.acquire() as conn:
            if not await revoke_key(conn, key_id, now=built.now()):
                return None
            return await successors_of(conn, key_id, now=built.now())

    successors = within(ctx, work)
    if successors is None:
        raise Failure(Exit.USAGE, f"There is no key {key_id!r} to revoke; see: tidings keys list")
    if as_json:
        print_json({"result": "removed", "successors": successors})
        return
    say(f"{key_id} is revoked.")
    for successor in successors:
        say(f"{successor} came from it and is still good; to end it too:")
        say(f"  tidings keys revoke {successor}")


def _standing(key: StoredKey) -> str:
    if key.revoked_at:
        return "revoked"
    if key.replaced_by:
        return f"replaced by {key.replaced_by}"
    return f"until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else ""


def _print_made(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": made.id, "key": made.text})
    else:
        say(made.text)
        say("Keep it now: it is not shown again.", err=True)
