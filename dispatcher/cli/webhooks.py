"""Webhooks: where other systems are told of what happens here, and what came of it."""

from typing import Annotated, Any, Literal

import typer

from dispatcher.announce import EventType
from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import COMMAND_LINE, Exit, Failure, Json, within
from dispatcher.cli.listing import Cursor, Limit, print_fields, print_model, print_rows, when
from dispatcher.cli.plain import say
from dispatcher.cli.sure import Yes, make_sure
from dispatcher.web.customer_models import Stored
from dispatcher.web.etags import IfMatch
from dispatcher.web.reading import as_model
from dispatcher.web.webhooks.endpoints import change_webhook
from dispatcher.web.webhooks.models import (
    WebhookDelivery,
    WebhookDeliveryPage,
    WebhookPage,
    WebhookPatch,
    WebhookTested,
    WebhookView,
    WebhookWithSecret,
)

app = typer.Typer(
    help="Where your systems are told of what happens here, and what came of it.",
    no_args_is_help=True,
)
DEFAULT = (EventType.DISPATCH_COMPLETED, EventType.DELIVERY_FAILED)


def register(parent: typer.Typer) -> None:
    """Add the group `webhooks`."""
    parent.add_typer(app, name="webhooks")


Which = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, whk_…")]
Events = Annotated[
    list[EventType] | None,
    typer.Option("--event", help="What it is told. Repeatable.", show_default=", ".join(DEFAULT)),
]
DescriptionOption = Annotated[str | None, typer.Option(help="What it is for.")]


@app.command("create")
def create(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="https, and public unless its network is allowed.")],
    *,
    event: Events = None,
    description: DescriptionOption = None,
    as_json: Json = False,
) -> None:
    """Have a system told. The secret that it checks signatures with is shown once."""
    body = {"url": url, "events": list(event or DEFAULT), "description": description or ""}
    made = answer_to(ctx, WebhookWithSecret, "post_webhook", body=body)
    _print_with_secret(made, as_json=as_json)


@app.command("list")
def show_all(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """All of them, never their secrets."""
    query = {"limit": limit, "cursor": cursor}
    found = answer_to(ctx, WebhookPage, "list_webhooks", query=query)
    if as_json:
        print_model(found)
        return
    rows = [(row.id, _state(row), row.url, "\n".join(row.events)) for row in found.data]
    print_rows(
        ("id", "", "url", "told of"),
        rows,
        none="Nobody is told. Make one with: tidings webhooks create URL",
        cursor=found.next_cursor,
    )


@app.command("show")
def show(ctx: typer.Context, webhook: Which, as_json: Json = False) -> None:
    """One of them."""
    _print_view(answer_to(ctx, WebhookView, "get_webhook", path=_path(webhook)), as_json=as_json)


@app.command("change")
def change(
    ctx: typer.Context,
    webhook: Which,
    *,
    url: Annotated[str | None, typer.Option(help="Where it is now.")] = None,
    event: Events = None,
    description: DescriptionOption = None,
    as_json: Json = False,
) -> None:
    """Change what is given; the rest stays, and so does the secret."""
    given = {"url": url, "events": event or None, "description": description}
    body = as_model(
        {name: value for name, value in given.items() if value is not None}, WebhookPatch
    )
    whichever = IfMatch("*")
    view = within(
        ctx,
        lambda built: change_webhook(built, webhook, body, seen=whichever, actor=COMMAND_LINE),
    )
    _print_view(view, as_json=as_json)


@app.command("test")
def try_out(ctx: typer.Context, webhook: Which, as_json: Json = False) -> None:
    """Send a signed webhook.test now. Exit code 1 unless the receiver takes it."""
    found = answer_to(ctx, WebhookTested, "test_webhook", path=_path(webhook))
    if as_json:
        print_model(found)
    elif found.delivered:
        say(f"It was taken: {found.status} after {found.ms} ms.")
    if not found.delivered:
        status = f" ({found.status})" if found.status else ""
        said = f" It said: {found.excerpt}" if found.excerpt else ""
        raise Failure(Exit.DIFFERS, f"It was not taken: {found.error}{status}.{said}")


@app.command("log")
def log(
    ctx: typer.Context,
    webhook: Which,
    *,
    state: Annotated[
        Literal["waiting", "sending", "delivered", "failed"] | None,
        typer.Option(help="Only these."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """What it was told in the last month, newest first, and what came of each attempt."""
    query = {"state": state, "limit": limit, "cursor": cursor}
    found = answer_to(
        ctx, WebhookDeliveryPage, "list_webhook_deliveries", path=_path(webhook), query=query
    )
    if as_json:
        print_model(found)
        return
    rows = [
        (when(row.at), row.type, row.state, _attempts(row), when(row.due_at), row.id)
        for row in found.data
    ]
    print_rows(
        ("at (UTC)", "event", "state", "answers", "next", "id"),
        rows,
        none="Nothing yet.",
        cursor=found.next_cursor,
    )


@app.command("resend")
def resend(
    ctx: typer.Context,
    webhook: Which,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="As in the log, whd_…")],
    as_json: Json = False,
) -> None:
    """Send a message once more, whatever came of it before."""
    path = _path(webhook) | {"delivery_id": delivery}
    found = answer_to(ctx, WebhookDelivery, "resend_webhook_delivery", path=path)
    if as_json:
        print_model(found)
    else:
        say(f"{found.type} goes out again; see: tidings webhooks log {webhook}")


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    webhook: Which,
    overlap_hours: Annotated[
        int, typer.Option(help="How long messages are signed with both.", min=0, max=720)
    ] = 24,
    as_json: Json = False,
) -> None:
    """A new secret, shown once; messages are signed with the old one too for a day more."""
    body = {"overlap_hours": overlap_hours}
    made = answer_to(ctx, WebhookWithSecret, "rotate_webhook", path=_path(webhook), body=body)
    _print_with_secret(made, as_json=as_json)


@app.command("enable")
def enable(ctx: typer.Context, webhook: Which, as_json: Json = False) -> None:
    """Tell it again, at once what waited for it."""
    _print_view(answer_to(ctx, WebhookView, "enable_webhook", path=_path(webhook)), as_json=as_json)


@app.command("disable")
def disable(ctx: typer.Context, webhook: Which, as_json: Json = False) -> None:
    """Tell it nothing; what happens meanwhile it is never told."""
    _print_view(
        answer_to(ctx, WebhookView, "disable_webhook", path=_path(webhook)), as_json=as_json
    )


@app.command("remove")
def remove(ctx: typer.Context, webhook: Which, yes: Yes = False, as_json: Json = False) -> None:
    """Forget it and its log."""

    def what() -> str:
        found = answer_to(ctx, WebhookView, "get_webhook", path=_path(webhook))
        return f"Forget {found.url}, its secret and its log. It is never told what waits for it."

    make_sure(what, yes=yes)
    gone = answer_to(ctx, Stored, "remove_webhook", path=_path(webhook))
    if as_json:
        print_model(gone)
    else:
        say(f"{webhook} is removed.")


def _path(webhook: str) -> dict[str, str]:
    return {"webhook_id": webhook}


def _state(view: WebhookView) -> str:
    if view.disabled:
        return f"disabled ({view.disabled})"
    return f"failing since {when(view.failing_since)}" if view.failing_since else ""


def _attempts(row: WebhookDelivery) -> str:
    return " ".join(str(item.status or item.error) for item in row.attempts)


def _print_view(view: WebhookView, *, as_json: bool) -> None:
    if as_json:
        print_model(view)
        return
    fields: dict[str, Any] = view.model_dump()
    print_fields(fields)


def _print_with_secret(made: WebhookWithSecret, *, as_json: bool) -> None:
    if as_json:
        print_model(made)
        return
    say(f"id:     {made.id}\nurl:    {made.url}\nsecret: {made.secret}")
    say("Keep the secret now: it is not shown again.", err=True)
