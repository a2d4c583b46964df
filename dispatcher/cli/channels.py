"""Channels: how they stand, and the word of a person that one stops."""

from datetime import datetime
from typing import Annotated

import typer

from channels.model import ChannelKind
from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import Json
from dispatcher.cli.listing import Cursor, Limit, in_a_zone, print_model, print_rows, when
from dispatcher.cli.plain import say
from dispatcher.web.channel_models import (
    ChannelHealth,
    ChannelPage,
    ChannelPause,
    ChannelView,
    Sender,
)

# Without a verb of its own it shows all of them.
app = typer.Typer(invoke_without_command=True)

Which = Annotated[
    ChannelKind, typer.Argument(metavar="CHANNEL", help="email, sms, social", show_choices=False)
]


def register(parent: typer.Typer) -> None:
    """Add the group, which is a verb as well."""
    parent.add_typer(app, name="channels")


@app.callback()
def channels(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """Every channel: its limits, what is left of them, what waits; paused or not, by whom and why."""
    if ctx.invoked_subcommand is not None:
        return
    found = answer_to(ctx, ChannelPage, "list_channels", query={"limit": limit, "cursor": cursor})
    if as_json:
        print_model(found)
        return
    rows = [
        (
            channel.channel,
            sender.provider,
            sender.identity,
            _state(channel, sender),
            channel.waiting,
            _left(sender),
        )
        for channel in found.data
        for sender in channel.senders
    ]
    columns = ("channel", "provider", "from", "state", "waiting", "left of its limits")
    print_rows(
        columns, rows, none="There is no channel.", cursor=found.next_cursor, right=("waiting",)
    )


@app.command("pause")
def pause(
    ctx: typer.Context,
    channel: Which,
    reason: Annotated[
        str, typer.Option(help="Why; it stands beside the channel and in the audit.")
    ],
    until: Annotated[
        datetime | None,
        typer.Option(help="It ends by itself then; UTC where no zone is given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let nothing more leave on a channel, of any dispatch, P0 neither, until it is resumed."""
    body = {"reason": reason} | ({"until": end.isoformat()} if (end := in_a_zone(until)) else {})
    path = {"channel": channel.value}
    found = answer_to(ctx, ChannelView, "pause_channel", path=path, body=body)
    if as_json:
        print_model(found)
    elif found.pause is not None:
        say(f"{channel} is {_paused(found.pause)}. {found.waiting} messages wait.")


@app.command("resume")
def resume(ctx: typer.Context, channel: Which, as_json: Json = False) -> None:
    """Let a paused channel go on, the most urgent and the newest first."""
    found = answer_to(ctx, ChannelView, "resume_channel", path={"channel": channel.value})
    if as_json:
        print_model(found)
        return
    say(f"{channel} is not paused any more. {found.waiting} messages waited.")
    if found.health is not ChannelHealth.READY:
        states = dict.fromkeys(_state(found, sender) for sender in found.senders)
        say(f"Nothing leaves yet all the same: {'; '.join(states) or 'not configured'}.")


def _state(channel: ChannelView, sender: Sender) -> str:
    told = [_paused(channel.pause)] if channel.pause else []
    if not channel.configured:
        told.append("not configured: its deliveries are unreachable")
    elif sender.paused_until:
        told.append(f"stopped until {sender.paused_until:%H:%M:%S} UTC ({sender.paused_why})")
    elif channel.health is ChannelHealth.PROBATION:
        told.append("on probation")
    return "; ".join(told) or "ready"


def _paused(pause: ChannelPause) -> str:
    end = f" until {when(pause.until)} UTC" if pause.until else ""
    return f"paused by hand{end} by {pause.by}: {pause.reason}"


def _left(sender: Sender) -> str:
    return ", ".join(f"{item.left} of {item.limit} in {item.seconds} s" for item in sender.windows)
