"""The long-running verbs: serve, worker, up."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from typing import Annotated

import typer

from dispatcher.app import running
from dispatcher.app.processes import serve, work
from dispatcher.cli.base import Exit, Failure, execute, settings_of, until_stopped
from dispatcher.cli.processes import Children, command
from dispatcher.config import Settings

Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on.", min=0, max=65535, show_default="8080")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(help="Port for this process's own /metrics; none without.", min=0, max=65535),
]
UntilStdin = Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)]
Held = Annotated[int | None, typer.Option("--socket", metavar="FD", hidden=True)]
"""A socket that whoever started us listens on already, so that nobody else can have its port."""


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (serve_verb, worker_verb, up_verb):
        app.command(verb.__name__.removesuffix("_verb"))(verb)


def serve_verb(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    held: Held = None,
    until_stdin_closes: UntilStdin = False,
) -> None:
    """Answer HTTP: the API, receipts, banners, public pages. SIGTERM ends it."""
    settings = settings_of(ctx, web={"host": host, "port": port})
    execute(_serve(settings, inherited(held), until_stdin_closes))


def inherited(number: int | None) -> socket | None:
    """The socket behind the number of a file that we were given."""
    return None if number is None else socket(fileno=number)


@contextmanager
def wanting(port: int, host: str) -> Iterator[None]:
    """Whoever listens in here names the port that another program has. Raises Failure."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise Failure(
            Exit.UNREACHABLE,
            f"Port {port} of {host} is in use by another program: end it, or choose another with --port.",
        ) from None


async def _serve(settings: Settings, held: socket | None, with_stdin: bool) -> None:
    async with until_stopped(with_stdin=with_stdin) as stop, running(settings) as ctx:
        with wanting(settings.web.port, settings.web.host):
            await serve(ctx, stop, held)


def worker_verb(
    ctx: typer.Context, metrics_port: MetricsPort = None, until_stdin_closes: UntilStdin = False
) -> None:
    """Send, track and report. Start as many as you like, anywhere; SIGTERM drains."""
    settings = settings_of(ctx, metrics={"port": metrics_port})
    execute(_work(settings, until_stdin_closes))


async def _work(settings: Settings, with_stdin: bool) -> None:
    async with until_stopped(with_stdin=with_stdin) as stop, running(settings) as ctx:
        await work(ctx, stop)


def up_verb(
    ctx: typer.Context,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    host: Host = None,
    port: Port = None,
) -> None:
    """Web and workers in one go, each a process of its own; one that ends ends all."""
    settings = settings_of(ctx, web={"host": host, "port": port})
    verbs = [["serve", "--host", settings.web.host, "--port", str(settings.web.port)]]
    verbs += [["worker", *_metrics_port(settings, number)] for number in range(workers)]
    execute(
        _up([command(*_before(ctx), *verb, "--until-stdin-closes") for verb in verbs], settings)
    )


def _metrics_port(settings: Settings, number: int) -> list[str]:
    """Workers of one machine cannot share a port: the first has the configured one, and so on."""
    first = settings.metrics.port
    return ["--metrics-port", str(first + number if first else 0)] if first is not None else []


def _before(ctx: typer.Context) -> list[str]:
    """The flags before the verb, again for a child."""
    flags = ctx.obj
    given = ["--config", str(flags.config)] if flags.config else []
    given += ["--log-level", flags.log_level] if flags.log_level else []
    return [*given, "--ephemeral"] if "embedded" in flags.settings else given


async def _up(commands: list[list[str]], settings: Settings) -> None:
    async with until_stopped() as stop, Children(grace_s=settings.worker.drain_s + 5) as children:
        for argv in commands:
            await children.start(argv[3], argv)
        ended = await children.wait(stop)
    if ended is not None:
        raise Failure(
            Exit.UNREACHABLE, f"{ended.name} ended with {ended.code}; see its words above."
        )
