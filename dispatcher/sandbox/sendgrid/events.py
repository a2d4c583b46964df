"""SendGrid's event webhook: mixed recipients, signed batches, repeated until answered 2xx."""

import asyncio
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from dispatcher.sandbox.faults import (
    ReceiptsDelayed,
    ReceiptsDuplicated,
    ReceiptsLost,
    ReceiptsReordered,
)
from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.receipts import Caller, Pool, Timeline
from dispatcher.sandbox.sendgrid.fates import Step, dropped, fate_of
from dispatcher.sandbox.sendgrid.mail import AcceptedMail
from dispatcher.sandbox.world import World

PATH = "/v1/receipts/sendgrid"
SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"

Event: TypeAlias = dict[str, Any]

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=10)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_GIVE_UP_AFTER = 24 * 3600
_REDIRECTED = 300


class _Due(NamedTuple):
    """An event to send; without a step, a whole request whose fates are still to be drawn."""

    mail: AcceptedMail
    number: int = 0
    step: Step | None = None


class EventWebhook:
    """Turns accepted mails into events. Until an event is due it is one small tuple."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world = world
        self._caller = caller
        self._run_number = 0
        self._suppressed: dict[str, str] = {}
        self.timeline: Timeline[_Due] = Timeline(self._send_due)
        self.pool = Pool(world.settings.callback_connections)

    def reset(self) -> None:
        """Forget suppressions and whatever was still to be sent."""
        self._run_number += 1
        self._suppressed.clear()
        self.timeline.clear()

    def later(self, mail: AcceptedMail) -> None:
        """Let the events of an accepted request happen in their own time."""
        if self._world.receipts.url is not None:
            self.timeline.add(self._world.settings.receipts_after[0] / 2, _Due(mail))

    async def now(self, mail: AcceptedMail) -> None:
        """Send all events of a request and wait for the answers."""
        indexes = range(len(mail.personalizations))
        steps = [(index, step) for index in indexes for step in self._steps(mail, index)]
        steps.sort(key=lambda pair: pair[1].when)
        events = (event for index, step in steps for event in self._events(mail, index, step))
        for batch in _batches(events, self._world.settings.event_batch):
            if not await self._attempt(batch):
                await self.pool.put(partial(self._deliver, batch, self._run_number))

    async def _send_due(self, due: Sequence[_Due]) -> None:
        run_number = self._run_number  # a reset may come while the pool is full
        for batch in _batches(self._unfold(due), self._world.settings.event_batch):
            await self.pool.put(partial(self._deliver, batch, run_number))

    def _unfold(self, due: Sequence[_Due]) -> Iterator[Event]:
        for mail, index, step in due:
            if step is None:
                self._plan(mail)
            else:
                yield from self._events(mail, index, step)

    def _plan(self, mail: AcceptedMail) -> None:
        settings = self._world.settings
        first, last = settings.receipts_after
        faults = self._world.faults
        for index in range(len(mail.personalizations)):
            steps = self._steps(mail, index)
            times = [first / 2 + step.when * (last - first) for step in steps]
            if faults and faults.strike(Provider.SENDGRID, ReceiptsReordered):
                times.reverse()
            for step, delay in zip(steps, times, strict=True):
                held = faults.strike(Provider.SENDGRID, ReceiptsDelayed) if faults else None
                wait = delay + (held.seconds if held else 0)
                self.timeline.add(wait, _Due(mail, index, step))

    def _steps(self, mail: AcceptedMail, index: int) -> tuple[Step, ...]:
        address = mail.address(index).lower()
        if reason := self._suppressed.get(address):
            return dropped(reason).steps
        settings = self._world.settings
        draws = self._world.chance.draws(address)
        fate = fate_of(address, draws, bounced=settings.bounced, deferred=settings.deferred)
        if fate.suppressed:
            self._suppressed[address] = fate.suppressed
        return fate.steps

    def _events(self, mail: AcceptedMail, index: int, step: Step) -> Iterator[Event]:
        mail.states[index] = step.event
        copies = 1
        faults = self._world.faults
        if faults:
            if faults.strike(Provider.SENDGRID, ReceiptsLost):
                return
            doubled = faults.strike(Provider.SENDGRID, ReceiptsDuplicated)
            copies = doubled.copies if doubled else 1
        for _ in range(copies):
            yield self._event(mail, index, step)

    def _event(self, mail: AcceptedMail, index: int, step: Step) -> Event:
        event: Event = {
            "email": mail.address(index),
            "timestamp": int(self._world.clock()),
            "event": step.event,
            "sg_event_id": urlsafe_b64encode(self._world.ids.hex().encode()[:24]).decode(),
            **step.extra,
        }
        if not step.bare:
            event["smtp-id"] = f"<{mail.message_id}@geopod-ismtpd-1>"
            event["sg_message_id"] = f"{mail.message_id}.recvd-sandbox-{index}.0"
            if categories := mail.envelope.get("categories"):
                event["category"] = categories
        return {**mail.arguments(index), **event}

    async def _deliver(self, batch: Sequence[Event], run_number: int) -> None:
        """Repeat with growing pauses, as SendGrid does for a day."""
        give_up = self._world.clock() + _GIVE_UP_AFTER
        pause = _FIRST_PAUSE
        while run_number == self._run_number and self._world.clock() < give_up:
            if await self._attempt(batch):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _attempt(self, batch: Sequence[Event]) -> bool:
        base = self._world.receipts.url
        if base is None:
            return True
        body = orjson.dumps(batch) + b"\r\n"
        headers = self._signed(body) | {"Content-Type": "application/json"}
        outcome = await self._caller.post(base + PATH, body, headers, _ANSWER_WITHIN)
        return isinstance(outcome, int) and outcome < _REDIRECTED

    def _signed(self, body: bytes) -> dict[str, str]:
        """ECDSA over timestamp and raw body, line end included."""
        timestamp = str(int(self._world.clock()))
        key = self._world.settings.signing_key
        signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
        return {
            SIGNATURE_HEADER: b64encode(signature).decode(),
            TIMESTAMP_HEADER: timestamp,
        }


@dataclass(frozen=True, slots=True)
class MailReceipts:
    """The events of one accepted request."""

    webhook: EventWebhook
    mail: AcceptedMail

    def later(self) -> None:
        self.webhook.later(self.mail)

    async def now(self) -> None:
        await self.webhook.now(self.mail)


def _batches(events: Iterable[Event], size: int) -> Iterator[list[Event]]:
    source = iter(events)
    while batch := list(islice(source, size)):
        yield batch
