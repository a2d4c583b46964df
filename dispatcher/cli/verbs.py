"""Which file has which verb.

A file is imported when one of its verbs is used: `tidings --help` needs none of them, and
`tidings import` not what `tidings demo` needs.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class Verb(NamedTuple):
    """Where a verb is, and the line that `tidings --help` has for it: the first of its own help."""

    file: str
    help: str


VERBS: Final = {
    "serve": Verb(
        "serving", "Answer HTTP: the API, receipts, banners, public pages. SIGTERM ends it."
    ),
    "worker": Verb(
        "serving", "Send, track and report. Start as many as you like, anywhere; SIGTERM drains."
    ),
    "up": Verb(
        "serving", "Web and workers in one go, each a process of its own; one that ends ends all."
    ),
    "sandbox": Verb(
        "sandbox",
        "Make-believe SendGrid, Twilio and X with a ledger and a page that shows what arrived.",
    ),
    "migrate": Verb(
        "operate",
        "Bring the database's schema up to date. Any number may run at once; one does the work.",
    ),
    "doctor": Verb(
        "operate", "Look at everything that must be right, and say how to mend what is not."
    ),
    "config": Verb(
        "configuration", "Settings: whether they can be used, and where each comes from."
    ),
    "channels": Verb(
        "channels",
        "Every channel: its limits, what is left of them, what waits; paused or not, by whom and why.",
    ),
    "send": Verb(
        "update",
        "Send an update: the body of POST /v1/updates, as YAML or JSON. Sending it twice sends it once.",
    ),
    "drafts": Verb("drafts", "What waits for somebody to write, send or discard it."),
    "dispatches": Verb(
        "dispatches", "One update on its way: look at it, pause, resume or cancel it."
    ),
    "deliveries": Verb("dispatches", "Each message of a dispatch and what became of it."),
    "exports": Verb("exports", "All deliveries of a dispatch as a file, made by a worker."),
    "incidents": Verb("incidents", "What happens, and when its customers hear more."),
    "updates": Verb("incidents", "What was said about an incident."),
    "watch": Verb(
        "watch",
        "Follow a dispatch until it is over; --json prints a line whenever something has moved.",
    ),
    "report": Verb("reports", "Who was told, how fast, what failed and whom to call."),
    "verify": Verb(
        "reports",
        "Compare every delivery with what the sandbox really accepted. Exit code 1 on any difference.",
    ),
    "demo": Verb(
        "demo",
        "See it work: sandbox, web, two workers, 2,000 people, three updates, the report. No data stays.",
    ),
    "banner-token": Verb(
        "demo", "A banner token for one app user, valid for an hour: what your backend would make."
    ),
    "keys": Verb("keys", "API keys."),
    "users": Verb("users", "People who work with Tidings, and what their role lets them do."),
    "audit": Verb("audit", "Who did what to what, newest first."),
    "sources": Verb(
        "sources", "Systems that tell us of incidents: PagerDuty, Alertmanager and the like."
    ),
    "intake": Verb("intake", "What sources sent lately, what it became, and processing it again."),
    "webhooks": Verb(
        "webhooks", "Where your systems are told of what happens here, and what came of it."
    ),
    "import": Verb(
        "customers",
        "Import customers from .csv or .jsonl: all of a file, or with --continue its good rows.",
    ),
    "audience": Verb("audience", "Who would be told by an update, and why."),
    "accounts": Verb("records", "Customers, and what decides whether they are told."),
    "contacts": Verb("records", "People at customers, and how they are reached."),
    "components": Verb("records", "Parts of the product that can break."),
    "segments": Verb("lookup", "Kinds of customers, and what makes an account one."),
    "templates": Verb("lookup", "The words of each segment and channel."),
    "suppressions": Verb("suppressing", "Addresses that must not be used, and why."),
    "problems": Verb("lookup", "What the API's refusals mean, and what to do."),
}

PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Tell customers": ("send", "drafts", "audience", "watch", "dispatches"),
    "See what became of it": (
        *("incidents", "updates", "deliveries", "report", "exports", "verify"),
    ),
    "Customers": (*("import", "accounts", "contacts", "components", "segments", "suppressions"),),
    "Other systems": ("sources", "intake", "webhooks", "banner-token"),
    "People": ("users", "keys", "audit"),
    "Run it": (
        *(
            "serve",
            "worker",
            "up",
            "migrate",
            "doctor",
            "config",
            "channels",
            "templates",
            "problems",
        ),
    ),
    "Try it": ("demo", "sandbox"),
}
"""What the verbs are for, in the order in which they are listed."""

RENAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "dispatch": ("dispatches",),
    "account": ("accounts", "deliveries"),
}
"""What verbs were called in 0.1, and are called now; scripts go on, nobody else is told of them."""


class Verbs(TyperGroup):
    """Lists the verbs from the table, and finds the real one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=VERBS[name].help, rich_help_panel=panel)
            for panel, names in PANELS.items()
            for name in names
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name, the command and what is left of `args`. Ends with usage when there is no such verb."""
        if args and args[0] in RENAMED:
            words = RENAMED[args[0]]
            typer.echo(f"`tidings {args[0]}` is called `tidings {' '.join(words)}` now.", err=True)
            args = [*words, *args[1:]]
        name, _, left = super().resolve_command(ctx, args)
        return name, real_command(name) if name else None, left


def real_command(name: str) -> Any:
    """The command itself, from its file."""
    part = typer.Typer()
    import_module(f"dispatcher.cli.{VERBS[name].file}").register(part)
    return get_group(part).commands[name]
