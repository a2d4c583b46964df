"""The three providers of one sandbox, put together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from dispatcher.sandbox.chance import Chance, Ids
from dispatcher.sandbox.faults import FaultBoard
from dispatcher.sandbox.gateway import Gateway
from dispatcher.sandbox.journal import Journal
from dispatcher.sandbox.ledger import Ledger, Provider
from dispatcher.sandbox.receipts import Caller
from dispatcher.sandbox.sendgrid.api import SendGrid
from dispatcher.sandbox.sendgrid.events import EventWebhook
from dispatcher.sandbox.settings import SandboxSettings
from dispatcher.sandbox.twilio.api import Twilio
from dispatcher.sandbox.twilio.callbacks import Callbacks
from dispatcher.sandbox.world import ReceiptAddress, World
from dispatcher.sandbox.x.api import X


class Servers:
    """Built from settings and a clock (POSIX seconds); does nothing until `running` is entered."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._journal = Journal(settings.journal) if settings.journal else None
        self.world = World(
            settings=settings,
            clock=clock,
            chance=Chance(settings.seed),
            ids=Ids(clock()),
            ledger=Ledger(settings.kept, self._journal),
            faults=FaultBoard(settings.seed),
            receipts=ReceiptAddress(settings.receipts_url, settings.public_url),
        )
        self._caller = Caller()
        self._webhook = EventWebhook(self.world, self._caller)
        self._callbacks = Callbacks(self.world, self._caller)
        self.sendgrid = SendGrid(self.world, self._webhook)
        self.twilio = Twilio(self.world, self._callbacks)
        self.x = X(self.world)

    @property
    def pending(self) -> int:
        """Receipts not yet delivered."""
        sources = (self._webhook, self._callbacks)
        return sum(source.timeline.waiting + source.pool.busy for source in sources)

    def reset(self) -> None:
        """Back to a fresh sandbox; settings and receipt address stay."""
        self.world.faults.clear()
        self.world.ledger.reset()
        for part in (self._webhook, self._callbacks, self.twilio, self.x):
            part.reset()

    def add_routes(self, app: web.Application) -> None:
        """The providers' own paths, each below a prefix."""
        mail = Gateway(self.world, Provider.SENDGRID, self.sendgrid)
        text = Gateway(self.world, Provider.TWILIO, self.twilio)
        post = Gateway(self.world, Provider.X, self.x)
        messages = "/twilio/2010-04-01/Accounts/{account}/Messages"
        app.router.add_routes(
            [
                web.post("/sendgrid/v3/mail/send", mail.door("send", self.sendgrid.send)),
                web.post(messages + ".json", text.door("send", self.twilio.send)),
                web.get(messages + ".json", text.door("look_up", self.twilio.find)),
                web.get(messages + "/{sid}.json", text.door("look_up", self.twilio.fetch)),
                web.post(messages + "/{sid}.json", text.door("look_up", self.twilio.change)),
                web.delete(messages + "/{sid}.json", text.door("look_up", self.twilio.delete)),
                web.post("/x/2/tweets", post.door("send", self.x.post)),
                web.delete("/x/2/tweets/{id}", post.door("look_up", self.x.delete)),
                web.get("/x/2/users/me", post.door("look_up", self.x.me)),
                web.get("/x/2/users/{id}/tweets", post.door("look_up", self.x.timeline)),
            ]
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receipts go out inside this context."""
        async with self._caller:
            runs = [
                part.run()
                for source in (self._webhook, self._callbacks)
                for part in (source.timeline, source.pool)
            ]
            tasks = [asyncio.create_task(run) for run in runs]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                if self._journal is not None:
                    self._journal.close()
        failures = [end for end in ends if isinstance(end, Exception)]
        if failures:
            raise ExceptionGroup("the sandbox's receipts broke", failures)
