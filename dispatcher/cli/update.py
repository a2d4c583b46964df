"""Send an update from a file, and decide about dispatches under way."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from dispatcher.cli.audience import print_counts
from dispatcher.cli.base import Json, number_of, print_json, within
from dispatcher.cli.document import read_document
from dispatcher.cli.keys import COMMAND_LINE
from dispatcher.cli.watch import watch
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.stages import control
from dispatcher.stages.accept import UpdateIn
from dispatcher.web import idempotency
from dispatcher.web.audit import note
from dispatcher.web.idempotency import Attempt
from dispatcher.web.ids import DISPATCH
from dispatcher.web.models import Preview, UpdateAccepted
from dispatcher.web.preview import preview
from dispatcher.web.reading import as_model
from dispatcher.web.updates import accept_once

dispatch_app = typer.Typer(help="Cancel, pause or resume a dispatch.", no_args_is_help=True)

# The command line needs no key to get in, but what it has sent is remembered under one, like all else.
COMMAND_LINE_KEY_SQL = """
insert into api_key (id, secret_hash, name, scopes, created_at, revoked_at)
values ($1, '', 'the command line', '{}', $2, $2) on conflict (id) do nothing
"""


def register(app: typer.Typer) -> None:
    """Add the verb `send` and the group `dispatch`."""
    app.command("send")(send)
    app.add_typer(dispatch_app, name="dispatch")


def send(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="YAML or JSON; - reads standard input.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show audience and words; send nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress until everything has left.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Same key, same update.", show_default="from the content"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send an update: the body of POST /v1/updates, as YAML or JSON. Sending it twice sends it once."""
    body = as_model(read_document(file), UpdateIn)
    if dry_run or body.mode == "dry_run":
        _print_preview(
            within(ctx, lambda built: preview(built, body, actor=COMMAND_LINE)), as_json=as_json
        )
        return

    async def work(built: Context) -> tuple[UpdateAccepted, bool]:
        found = await post(built, body, idempotency_key)
        if wait and found[0].dispatch_id:
            await watch(built, number_of(built.signer, DISPATCH, found[0].dispatch_id, "dispatch"))
        return found

    view, replayed = within(ctx, work)
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    if replayed:
        typer.echo("Already sent: this is what was answered then.")
    if view.dispatch_id is None:
        typer.echo(
            f"Stored as a draft {view.update_id}; missing: {', '.join(view.missing) or 'nothing'}."
        )
        return
    typer.echo(f"Accepted as {view.update_id}. Follow it: tidings report {view.dispatch_id}")


async def post(built: Context, body: UpdateIn, key: str | None) -> tuple[UpdateAccepted, bool]:
    """Accept one update on the path the API takes; True when the answer is a stored one."""
    content = idempotency.fingerprint(body.model_dump(mode="json", exclude_unset=True))
    chosen = (
        idempotency.read_key(key) if key else f"file-{hashlib.sha256(content).hexdigest()[:32]}"
    )
    attempt = Attempt(COMMAND_LINE, chosen, content)

    await built.pool.execute(COMMAND_LINE_KEY_SQL, COMMAND_LINE, built.now())
    answered, replayed = await accept_once(built, body, attempt, actor=COMMAND_LINE)
    return UpdateAccepted.model_validate(answered.response), replayed


def _print_preview(found: Preview, *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if found.missing:
        typer.echo(f"A draft: {', '.join(found.missing)} missing, nothing would be sent.")
    print_counts([row.model_dump(mode="json") for row in found.audience])
    for item in found.lint:
        typer.echo(f"{item.level}: {item.rule}: {item.detail}")
    for rendering in found.renderings:
        words = rendering.parts.get("text") or rendering.parts.get("body", "")
        typer.echo(f"\n── {rendering.segment or 'public'} · {rendering.channel} " + "─" * 40)
        if "subject" in rendering.parts:
            typer.echo(f"Subject: {rendering.parts['subject']}\n")
        typer.echo(words.strip())


Dispatch = Annotated[str, typer.Argument(metavar="DISPATCH", help="Its id, dsp_…")]


@dispatch_app.command("cancel")
def cancel(ctx: typer.Context, dispatch: Dispatch, as_json: Json = False) -> None:
    """Withdraw what has not left."""
    _decide(ctx, dispatch, "cancel", lambda c, n, b: control.cancel(c, n, now=b.now()), as_json)


@dispatch_app.command("pause")
def pause(ctx: typer.Context, dispatch: Dispatch, as_json: Json = False) -> None:
    """Hold what has not left."""
    _decide(ctx, dispatch, "pause", lambda c, n, b: control.pause(c, n, now=b.now()), as_json)


@dispatch_app.command("resume")
def resume(ctx: typer.Context, dispatch: Dispatch, as_json: Json = False) -> None:
    """Let a paused dispatch go on."""
    _decide(ctx, dispatch, "resume", lambda c, n, _: control.resume(c, n), as_json)


_DONE = {"cancel": "withdrawn", "pause": "held", "resume": "going on"}

Act = Callable[[Connection, int, Context], Awaitable[control.Counts]]


def _decide(ctx: typer.Context, dispatch: str, action: str, act: Act, as_json: bool) -> None:
    async def decided(built: Context) -> control.Counts:
        number = number_of(built.signer, DISPATCH, dispatch, "dispatch")

        async def work(conn: Connection) -> control.Counts:
            counts = await act(conn, number, built)
            await note(
                conn,
                at=built.now(),
                actor=COMMAND_LINE,
                action=f"dispatch.{action}",
                thing=dispatch,
                detail={"changed": counts.changed},
            )
            return counts

        return await in_transaction(built.pool, work, rng=built.rng)

    counts = within(ctx, decided)
    if as_json:
        print_json({"changed": counts.changed, "deliveries": dict(counts.by_status)})
        return
    typer.echo(f"{counts.changed} {_DONE[action]}.")
    for status, n in counts.by_status.items():
        typer.echo(f"  {n} {status}")
