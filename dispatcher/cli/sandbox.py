"""The verb `sandbox`: a file of its own, because providers of our own take long to import."""

import sys
from pathlib import Path
from socket import socket
from typing import Annotated, Any

import orjson
import typer
from pydantic import SecretStr, ValidationError

from dispatcher.cli.base import Exit, Failure, execute, settings_of, until_stopped
from dispatcher.cli.plain import say
from dispatcher.cli.serving import Held, UntilStdin, inherited, wanting
from dispatcher.sandbox import RunningSandbox, SandboxSettings
from dispatcher.sandbox import start as start_sandbox


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("sandbox")(sandbox_verb)


def sandbox_verb(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8090,
    receipts_url: Annotated[
        str | None, typer.Option(help="Where Tidings listens.", show_default="public_url")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same luck.")] = 1,
    journal: Annotated[Path | None, typer.Option(help="File in which the ledger survives.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses as one JSON line.")
    ] = False,
    held: Held = None,
    until_stdin_closes: UntilStdin = False,
) -> None:
    """Make-believe SendGrid, Twilio and X with a ledger and a page that shows what arrived.

    Its credentials are printed as settings: give them to `tidings serve` and `tidings worker`.
    """
    settings = settings_of(ctx)
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "seed": seed,
        "journal": journal,
        "receipts_url": receipts_url or settings.public_url,
        "public_url": settings.public_url,
    }
    try:
        made = SandboxSettings(**given)
    except ValidationError as error:
        found = [f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_url=False)]
        raise Failure(Exit.USAGE, *found) from None
    execute(_sandbox(made, inherited(held), as_json, until_stdin_closes))


async def _sandbox(
    settings: SandboxSettings, held: socket | None, as_json: bool, with_stdin: bool
) -> None:
    async with until_stopped(with_stdin=with_stdin) as stop:
        with wanting(settings.port, settings.host):
            sandbox = await start_sandbox(settings, held=held)
        try:
            _announce(sandbox, as_json)
            await stop.wait()
        finally:
            await sandbox.stop()


def _announce(sandbox: RunningSandbox, as_json: bool) -> None:
    environment = sandbox_environment(sandbox)
    if as_json:
        sys.stdout.write(
            orjson.dumps({"url": sandbox.url, "environment": environment}).decode() + "\n"
        )
    else:
        say(
            f"Sandbox: {sandbox.url}/sandbox/ shows what people received. Settings to send to it:\n"
        )
        for name, value in environment.items():
            say(f"export {name}={value}")
    sys.stdout.flush()


def sandbox_environment(sandbox: RunningSandbox) -> dict[str, str]:
    """The settings with which Tidings sends to this sandbox and believes its receipts."""
    made = sandbox.settings

    def plain(secret: SecretStr) -> str:
        return secret.get_secret_value()

    return {
        "TIDINGS_SENDGRID__BASE_URL": sandbox.sendgrid_url,
        "TIDINGS_SENDGRID__API_KEY": plain(made.sendgrid_api_key),
        "TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY": made.sendgrid_webhook_public_key,
        "TIDINGS_TWILIO__BASE_URL": sandbox.twilio_url,
        "TIDINGS_TWILIO__ACCOUNT_SID": made.twilio_account_sid,
        "TIDINGS_TWILIO__AUTH_TOKEN": plain(made.twilio_auth_token),
        "TIDINGS_X__BASE_URL": sandbox.x_url,
        "TIDINGS_X__CONSUMER_KEY": plain(made.x_consumer_key),
        "TIDINGS_X__CONSUMER_SECRET": plain(made.x_consumer_secret),
        "TIDINGS_X__ACCESS_TOKEN": plain(made.x_access_token),
        "TIDINGS_X__ACCESS_TOKEN_SECRET": plain(made.x_access_token_secret),
    }
