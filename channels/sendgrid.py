"""E-mail through SendGrid: one request carries up to a thousand recipients.

The SDK's helper builds the envelope; its client is not used: it blocks and has no time-out.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Final

import aiohttp
import orjson
from sendgrid.helpers.mail import (
    ClickTracking,
    From,
    Mail,
    OpenTracking,
    ReplyTo,
    SubscriptionTracking,
    TrackingSettings,
)
from yarl import URL

from channels.model import (
    Accepted,
    ChannelKind,
    Deferred,
    Message,
    Reason,
    Receipt,
    Recipient,
    Rejected,
    SendResult,
    Unclear,
)
from channels.sendgrid_events import EventReader
from channels.settings import SendGridSettings
from channels.transport import TRANSPORT_ERRORS, Answer, exchange, from_error, from_status

_PROVIDER = "sendgrid"
_AT_ONCE = timedelta(0)

# `errors[].field` of a 400, e.g. personalizations.17.to.0.email
_FIELD_OF_ONE = re.compile(r"personalizations[.\[](\d{1,4})\b\]?\.?(.*)", re.DOTALL)
_OUR_PARTS = ("headers", "substitutions", "custom_args")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_MESSAGE_ID = re.compile(r"[\w.-]{1,200}", re.ASCII)


class SendGridChannel:
    """Sends mails and reads signed events."""

    kind: Final = ChannelKind.EMAIL
    provider: Final = _PROVIDER
    batch_limit: Final = 1000
    # It refuses a request as a whole, but nowhere promises that what it has answered with 202, or broke off
    # before, was queued for everybody.
    atomic_batches: Final = False

    def __init__(self, settings: SendGridSettings, *, session: aiohttp.ClientSession) -> None:
        if settings.api_key is None:
            raise ValueError("sendgrid.api_key is missing")
        self._session = session
        self._url = URL(settings.base_url + "/v3/mail/send")
        self._timeout_s = settings.timeout_s
        self._headers = {
            "Authorization": f"Bearer {settings.api_key.get_secret_value()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._events = EventReader(
            [
                key
                for key in (settings.webhook_public_key, settings.previous_webhook_public_key)
                if key
            ]
        )

    async def send(self, message: Message) -> Sequence[SendResult]:
        """One request; the recipients share its fate unless the answer names some of them."""
        try:
            answer = await exchange(
                self._session,
                "POST",
                self._url,
                headers=self._headers,
                data=orjson.dumps(mail(message)),
                timeout_s=self._timeout_s,
            )
        except TRANSPORT_ERRORS as error:
            return [from_error(_PROVIDER, error)] * len(message.recipients)
        return _results(answer, len(message.recipients))

    def receipts(
        self, *, raw_path: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[Receipt]:
        """Verified events of the Event Webhook; its signature does not cover the path."""
        del raw_path
        return self._events.read(headers, body, now)

    async def close(self) -> None:
        """Nothing to let go of: the session belongs to its maker."""


def mail(message: Message) -> dict[str, object]:
    """The request body. Recipients are plain dicts: the helper's objects are 16 times slower."""
    envelope = Mail(
        from_email=From(*_address_and_name(message.sender)),
        subject=_one_line(message.parts["subject"]),
        plain_text_content=message.parts["text"],
        html_content=message.parts["html"],
    )
    if message.reply_to:
        envelope.reply_to = ReplyTo(*_address_and_name(message.reply_to))
    # Their tracking rewrites our links and adds a pixel and an unsubscribe link of its own.
    envelope.tracking_settings = TrackingSettings(
        click_tracking=ClickTracking(enable=False, enable_text=False),
        open_tracking=OpenTracking(enable=False),
        subscription_tracking=SubscriptionTracking(enable=False),
    )
    body: dict[str, object] = envelope.get()
    body["personalizations"] = [_personalization(message, one) for one in message.recipients]
    return body


def _address_and_name(text: str) -> tuple[str, str | None]:
    name, address = parseaddr(text)
    return address, name or None


def _one_line(text: str) -> str:
    """`text` without line breaks: in a header they would begin another header."""
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def _one_line_each(headers: Mapping[str, str]) -> dict[str, str]:
    # Nearly all are, and one look at all of them is faster than one at each.
    if "".join(headers.values()).isprintable():
        return dict(headers)
    return {name: _one_line(text) for name, text in headers.items()}


def _personalization(message: Message, recipient: Recipient) -> dict[str, object]:
    one: dict[str, object] = {"to": [{"email": recipient.address}]}
    if recipient.headers:
        one["headers"] = _one_line_each(recipient.headers)
    if recipient.values:
        one["substitutions"] = dict(recipient.values)
    # Per recipient: on the message itself the official description types custom_args as a string.
    one["custom_args"] = {"tidings": recipient.key, "rq": message.request_id}
    return one


def _results(answer: Answer, count: int) -> list[SendResult]:
    match answer.status:
        case 200 | 202 if not _is_web_page(answer):  # 200: sandbox mode, checked but not sent
            return [Accepted(_message_id(answer))] * count
        case 400:
            return _refusals(answer, count)
        case 413 if count > 1:
            return [Deferred(Reason.TOO_LONG, "sendgrid http 413 for the whole batch")] * count
        case status if answer.ok:
            return [
                Unclear(f"sendgrid http {status} is not an answer of its mail endpoint")
            ] * count
        case _:
            return [from_status(_PROVIDER, answer)] * count


def _is_web_page(answer: Answer) -> bool:
    return answer.headers.get("Content-Type", "").lower().startswith("text/html")


def _message_id(answer: Answer) -> str | None:
    value = answer.headers.get("X-Message-Id", "")
    return value if _MESSAGE_ID.fullmatch(value) else None


def _refusals(answer: Answer, count: int) -> list[SendResult]:
    """A 400 refuses the whole request, but often because of some recipients, whom it names."""
    fields = _refused_fields(answer)
    refused: dict[int, SendResult] = {}
    for field in fields:
        if (one := _FIELD_OF_ONE.match(field)) and int(one[1]) < count:
            refused[int(one[1])] = _refusal_of_one(one[2])
    if refused:
        spared = Deferred(Reason.NOT_TRIED, "sendgrid http 400 for a neighbour", _AT_ONCE)
        return [refused.get(index, spared) for index in range(count)]
    if any(field.startswith("from") for field in fields):
        detail = "sendgrid http 400: the from address"
        return [Deferred(Reason.ACCOUNT_PROBLEM, detail, sender_wide=True)] * count
    if not answer.complete:
        return [Deferred(Reason.NOT_TRIED, "sendgrid http 400, cut off")] * count
    return [Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400")] * count


def _refusal_of_one(part: str) -> Rejected:
    if part.startswith("to"):
        return Rejected(Reason.INVALID_ADDRESS, "sendgrid http 400: to", suppress=True)
    # Only names we sent ourselves may stand in a detail; the rest of the path is foreign text.
    known = next((name for name in _OUR_PARTS if part.startswith(name)), "personalization")
    return Rejected(Reason.CONTENT_REFUSED, f"sendgrid http 400: {known}")


def _refused_fields(answer: Answer) -> list[str]:
    errors = (answer.json_object() or {}).get("errors")
    if not isinstance(errors, list):
        return []
    fields = [error.get("field") for error in errors if isinstance(error, dict)]
    return [field for field in fields if isinstance(field, str)]
