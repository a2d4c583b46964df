"""Starting and stopping a sandbox."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from socket import socket

from aiohttp import web

from dispatcher.sandbox import control, page
from dispatcher.sandbox.control import SERVERS
from dispatcher.sandbox.faults import FaultBoard
from dispatcher.sandbox.ledger import Ledger
from dispatcher.sandbox.sendgrid.api import MAX_BODY
from dispatcher.sandbox.servers import Servers
from dispatcher.sandbox.settings import SandboxSettings

_STOP_WITHIN = 1.0
_POLL = 0.02


def create_app(
    settings: SandboxSettings, *, clock: Callable[[], float] = time.time
) -> web.Application:
    """All providers, the control interface and the page as one application."""
    # Beyond SendGrid's own limit, so that SendGrid's own words refuse what is too large.
    app = web.Application(client_max_size=2 * MAX_BODY)
    servers = Servers(settings, clock)
    app[SERVERS] = servers

    async def receipts(_: web.Application) -> AsyncIterator[None]:
        async with servers.running():
            yield

    app.cleanup_ctx.append(receipts)
    servers.add_routes(app)
    control.add_routes(app)
    page.add_routes(app)
    return app


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox:
    """A started sandbox. `url` has no trailing slash."""

    url: str
    settings: SandboxSettings
    servers: Servers
    runner: web.AppRunner

    @property
    def sendgrid_url(self) -> str:
        return f"{self.url}/sendgrid"

    @property
    def twilio_url(self) -> str:
        return f"{self.url}/twilio"

    @property
    def x_url(self) -> str:
        return f"{self.url}/x"

    @property
    def ledger(self) -> Ledger:
        return self.servers.world.ledger

    @property
    def faults(self) -> FaultBoard:
        return self.servers.world.faults

    def send_receipts_to(self, url: str | None, public_url: str | None = None) -> None:
        """For a product that learnt its own address after the sandbox had started."""
        address = self.servers.world.receipts
        address.url, address.public = url, public_url

    async def settled(self) -> None:
        """Return when no receipt is waiting any more; never, while the product refuses them."""
        while self.servers.pending:  # noqa: ASYNC110 - four parts would each have to announce their end
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """Receipts not yet sent are lost."""
        await self.runner.cleanup()


async def start(
    settings: SandboxSettings,
    *,
    clock: Callable[[], float] = time.time,
    held: socket | None = None,
) -> RunningSandbox:
    """Listen in this event loop, on a socket that is `held` already or on the port of `settings`.

    OSError: the port is taken.
    """
    app = create_app(settings, clock=clock)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_WITHIN)
    await runner.setup()
    try:
        site = (
            web.SockSite(runner, held)
            if held
            else web.TCPSite(runner, settings.host, settings.port)
        )
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    host, port = runner.addresses[0][:2]
    return RunningSandbox(
        url=f"http://{host}:{port}", settings=settings, servers=app[SERVERS], runner=runner
    )


async def run_forever(
    settings: SandboxSettings, *, started: Callable[[RunningSandbox], None]
) -> None:
    """Until SIGINT or SIGTERM; `started` is told once it listens."""
    # A request of a thousand recipients is five thousand small objects, none of them in a cycle:
    # looking for cycles at the usual pace takes half of the time.
    gc.set_threshold(50_000, 20, 100)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sandbox = await start(settings)
    started(sandbox)
    try:
        await stop.wait()
    finally:
        await sandbox.stop()
