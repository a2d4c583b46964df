"""Every adapter, with what the conformance suite needs to know of it. A new one is a new line."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from pydantic import SecretStr

from channels.model import Accepted, Channel, Fact, Message, Recipient
from channels.sendgrid import SendGridChannel
from channels.settings import SendGridSettings, TwilioSettings, XSettings
from channels.twilio import TwilioChannel
from channels.x import XChannel
from tests.channels.provider import Reply

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "canary-auth-token"
PUBLIC_URL = "https://status.example.com"
PHONE = "+15550100"
MAIL_ADDRESS = "ada@customer.example"
KEY = "k" * 40
# Whatever may never stand in a log line or a detail.
CANARIES = ("canary", PHONE, "customer.example", KEY)


@dataclass(frozen=True)
class Adapter:
    """`build(session, base_url, timeout_s)`; `good` is the provider's answer to a message."""

    name: str
    build: Callable[[aiohttp.ClientSession, str, float], Channel]
    message: Message
    good: Reply
    good_result: Accepted


def sendgrid(session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> SendGridChannel:
    settings = SendGridSettings(
        api_key=SecretStr("SG.canary"), base_url=base_url, timeout_s=timeout_s
    )
    return SendGridChannel(settings, session=session)


def twilio(session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> TwilioChannel:
    settings = TwilioSettings(
        account_sid=ACCOUNT_SID,
        auth_token=SecretStr(AUTH_TOKEN),
        base_url=base_url,
        timeout_s=timeout_s,
    )
    return TwilioChannel(settings, session=session, public_url=PUBLIC_URL)


def x(session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> XChannel:
    settings = XSettings(
        consumer_key=SecretStr("canary-ck"),
        consumer_secret=SecretStr("canary-cs"),
        access_token=SecretStr("12345-canary-at"),
        access_token_secret=SecretStr("canary-ats"),
        base_url=base_url,
        timeout_s=timeout_s,
    )
    return XChannel(settings, session=session)


def mail(count: int = 1) -> Message:
    return Message(
        request_id="rq-7",
        sender="Example Status <status@example.com>",
        reply_to="Support <support@example.com>",
        parts={
            "subject": "API errors",
            "text": "Hi -t1name-, canary text",
            "html": "<p>Hi -h1name-, canary html</p>",
        },
        recipients=[
            Recipient(
                key=f"{KEY}{index}",
                address=MAIL_ADDRESS if index == 0 else f"person{index}@customer.example",
                values={"-t1name-": f"Ada {index}", "-h1name-": f"Ada &amp; {index}"},
                headers={"List-Unsubscribe": f"<https://status.example.com/u/{index}>"},
            )
            for index in range(count)
        ],
        valid_for=timedelta(hours=4),
    )


def text(body: str = "API errors, canary text", sender: str = "+15550199") -> Message:
    return Message(
        request_id="rq-8",
        sender=sender,
        parts={"text": body},
        recipients=[Recipient(key=KEY, address=PHONE)],
        valid_for=timedelta(minutes=30),
    )


def post(body: str = "API errors, canary post https://status.example.com/i/1") -> Message:
    return Message(
        request_id="rq-9",
        sender="@example",
        parts={"text": body},
        recipients=[Recipient(key=KEY, address="@example")],
    )


def json_reply(status: int, value: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json", **named},
    )


SENDGRID = Adapter(
    "sendgrid",
    sendgrid,
    mail(3),
    Reply(status=202, headers={"X-Message-Id": "msg-1"}),
    Accepted("msg-1"),
)
TWILIO = Adapter(
    "twilio",
    twilio,
    text(),
    json_reply(201, {"sid": "SM" + "a" * 32, "status": "queued", "to": PHONE}),
    Accepted("SM" + "a" * 32),
)
X = Adapter(
    "x",
    x,
    post(),
    json_reply(201, {"data": {"id": "99", "text": "canary"}}),
    Accepted("99", Fact.POSTED),
)
ADAPTERS = (SENDGRID, TWILIO, X)
