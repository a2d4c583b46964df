"""A stand-in for the product's receipt routes: notes what is posted, answers as it is told."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

DEADLINE_S = 10


@dataclass(frozen=True, slots=True)
class Posted:
    """One callback as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = orjson.loads(self.body)
        return events

    def is_signed_by_sendgrid(self, public_key: str) -> bool:
        """What SendGrid's own helper says."""
        webhook = EventWebhook(public_key)
        prefix = "X-Twilio-Email-Event-Webhook-"
        return bool(
            webhook.verify_signature(
                self.body.decode(),
                self.headers[prefix + "Signature"],
                self.headers[prefix + "Timestamp"],
            )
        )

    def is_signed_by_twilio(self, token: str, base: str) -> bool:
        """What Twilio's own helper says of this form at `base` + path."""
        given = self.headers["X-Twilio-Signature"]
        return bool(RequestValidator(token).validate(base + self.path, self.form, given))


@dataclass(slots=True)
class Product:
    """`answers`: statuses of the next answers, then 200."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.posted.append(Posted(request.path_qs, dict(request.headers), body))
        return web.Response(status=self.answers.popleft() if self.answers else 200)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:.*}", self.receive)
        return app

    @property
    def events(self) -> list[dict[str, Any]]:
        """All SendGrid events in order of arrival."""
        mails = [one for one in self.posted if one.path == "/v1/receipts/sendgrid"]
        return [event for one in mails for event in one.events]

    def names(self, address: str) -> list[str]:
        """Names of the events about one address."""
        return [event["event"] for event in self.events if event["email"] == address]

    @property
    def statuses(self) -> list[str]:
        """All statuses Twilio told."""
        return [one.form["MessageStatus"] for one in self.posted if "MessageStatus" in one.form]


async def until(holds: Callable[[], object]) -> None:
    """Return once `holds()` does; fail the test when it never does."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another server
            await asyncio.sleep(0.01)
