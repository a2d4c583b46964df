"""Mails: what goes over the wire equals the SDK's own building, and who shares which fate."""

from dataclasses import replace
from datetime import timedelta

import aiohttp
import orjson
import pytest
from sendgrid.helpers.mail import (
    ClickTracking,
    CustomArg,
    From,
    Header,
    Mail,
    OpenTracking,
    Personalization,
    ReplyTo,
    SubscriptionTracking,
    To,
    TrackingSettings,
)

from channels.model import Accepted, Deferred, Message, Reason, Recipient, Rejected, Unclear
from channels.sendgrid import mail as request_body
from tests.channels.adapters import json_reply, mail, sendgrid
from tests.channels.provider import Reply, ScriptedProvider


def built_by_the_sdk(message: Message) -> dict[str, object]:
    built = Mail(
        from_email=From("status@example.com", "Example Status"),
        subject=message.parts["subject"],
        plain_text_content=message.parts["text"],
        html_content=message.parts["html"],
    )
    built.reply_to = ReplyTo("support@example.com", "Support")
    built.tracking_settings = TrackingSettings(
        click_tracking=ClickTracking(enable=False, enable_text=False),
        open_tracking=OpenTracking(enable=False),
        subscription_tracking=SubscriptionTracking(enable=False),
    )
    for index, recipient in enumerate(message.recipients):
        one = Personalization()
        one.add_to(To(recipient.address))
        one.substitutions = [dict(recipient.values)]
        for name, value in recipient.headers.items():
            one.add_header(Header(name, value))
        one.add_custom_arg(CustomArg("tidings", recipient.key))
        one.add_custom_arg(CustomArg("rq", message.request_id))
        built.add_personalization(one, index=index)
    body: dict[str, object] = built.get()
    return body


def test_the_request_equals_what_the_helper_of_the_sdk_builds() -> None:
    message = mail(5)
    assert request_body(message) == built_by_the_sdk(message)


def test_a_sender_without_a_name_and_a_mail_without_reply_address_are_fine() -> None:
    body = request_body(replace(mail(), sender="status@example.com", reply_to=None))
    assert body["from"] == {"email": "status@example.com"}
    assert "reply_to" not in body


def test_a_recipient_without_slots_or_headers_sends_neither() -> None:
    message = replace(mail(), recipients=[Recipient(key="k", address="a@example.com")])
    assert request_body(message)["personalizations"] == [
        {"to": [{"email": "a@example.com"}], "custom_args": {"tidings": "k", "rq": "rq-7"}}
    ]


def test_no_header_can_begin_another_one() -> None:
    parts = {**mail().parts, "subject": "API errors\r\nBcc: eve@example.com"}
    recipient = Recipient(key="k", address="a@example.com", headers={"X-A": "1\u2028Bcc: eve"})
    body = request_body(replace(mail(), parts=parts, recipients=[recipient]))
    assert body["subject"] == "API errors Bcc: eve@example.com"
    assert "X-A': '1 Bcc: eve'" in str(body["personalizations"])


async def test_the_request_carries_the_key_and_the_body(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(Reply(status=202, headers={"X-Message-Id": "m"}))
    await sendgrid(session, provider.base_url, 5).send(mail(2))
    (seen,) = provider.seen
    assert (seen.method, seen.raw_path) == ("POST", "/v3/mail/send")
    assert seen.headers["Authorization"] == "Bearer SG.canary"
    assert seen.headers["Content-Type"] == "application/json"
    assert orjson.loads(seen.body) == request_body(mail(2))


async def test_a_base_url_may_have_a_path(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    await sendgrid(session, provider.base_url + "/sandbox/", 5).send(mail())
    assert provider.seen[0].raw_path == "/sandbox/v3/mail/send"


async def test_a_thousand_recipients_fit_one_request(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(Reply(status=202, headers={"X-Message-Id": "m"}))
    channel = sendgrid(session, provider.base_url, 5)
    assert await channel.send(mail(channel.batch_limit)) == [Accepted("m")] * 1000
    assert len(provider.seen) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(status=202, headers={"X-Message-Id": "m.1-a_b"}), Accepted("m.1-a_b")),
        (Reply(status=202), Accepted(None)),
        (Reply(status=202, headers={"X-Message-Id": "with space"}), Accepted(None)),
        (Reply(status=200), Accepted(None)),
        (
            Reply(status=200, headers={"Content-Type": "text/html"}),
            Unclear("sendgrid http 200 is not an answer of its mail endpoint"),
        ),
        (Reply(status=204), Unclear("sendgrid http 204 is not an answer of its mail endpoint")),
        (Reply(status=413), Deferred(Reason.TOO_LONG, "sendgrid http 413 for the whole batch")),
        (
            Reply(status=429, headers={"Retry-After": "7"}),
            Deferred(Reason.THROTTLED, "sendgrid http 429", timedelta(seconds=7), sender_wide=True),
        ),
        (
            Reply(
                status=429,
                headers={
                    "X-RateLimit-Reset": "1800000060",
                    "Date": "Fri, 15 Jan 2027 08:00:00 GMT",
                },
            ),
            Deferred(
                Reason.THROTTLED, "sendgrid http 429", timedelta(seconds=60), sender_wide=True
            ),
        ),
        (
            Reply(status=401),
            Deferred(Reason.ACCOUNT_PROBLEM, "sendgrid http 401", sender_wide=True),
        ),
        (
            Reply(status=403),
            Deferred(Reason.ACCOUNT_PROBLEM, "sendgrid http 403", sender_wide=True),
        ),
        (Reply(status=500), Unclear("sendgrid http 500")),
        (Reply(status=503), Unclear("sendgrid http 503")),
        (Reply(status=400), Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400")),
        (
            Reply(status=400, body=b'{"errors": [', fault="reset mid-body"),
            Deferred(Reason.NOT_TRIED, "sendgrid http 400, cut off"),
        ),
        (
            json_reply(400, {"errors": [{"field": "from.email", "message": "m"}]}),
            Deferred(
                Reason.ACCOUNT_PROBLEM, "sendgrid http 400: the from address", sender_wide=True
            ),
        ),
        (
            json_reply(400, {"errors": [{"field": "content.0.value", "message": "m"}]}),
            Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400"),
        ),
        (
            json_reply(400, {"errors": [{"field": "personalizations", "message": "m"}]}),
            Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400"),
        ),
        (
            json_reply(400, {"errors": [{"field": "personalizations.9.to", "message": "m"}]}),
            Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400"),
        ),
    ],
)
async def test_all_recipients_share_the_answer(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply, expected: object
) -> None:
    provider.answers(reply)
    assert await sendgrid(session, provider.base_url, 5).send(mail(2)) == [expected] * 2


async def test_a_single_mail_that_is_too_large_is_refused_for_good(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(Reply(status=413))
    assert await sendgrid(session, provider.base_url, 5).send(mail()) == [
        Rejected(Reason.TOO_LONG, "sendgrid http 413")
    ]


@pytest.mark.parametrize(
    ("field", "refusal"),
    [
        (
            "personalizations.1.to.0.email",
            Rejected(Reason.INVALID_ADDRESS, "sendgrid http 400: to", suppress=True),
        ),
        (
            "personalizations[1].to",
            Rejected(Reason.INVALID_ADDRESS, "sendgrid http 400: to", suppress=True),
        ),
        (
            "personalizations.1.substitutions",
            Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400: substitutions"),
        ),
        (
            "personalizations.1.headers.x-ada@example",
            Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400: headers"),
        ),
        (
            "personalizations.1.else",
            Rejected(Reason.CONTENT_REFUSED, "sendgrid http 400: personalization"),
        ),
    ],
)
async def test_a_400_that_names_a_recipient_refuses_that_one_and_spares_the_others(
    provider: ScriptedProvider, session: aiohttp.ClientSession, field: str, refusal: Rejected
) -> None:
    errors = [{"field": field, "message": "Does not contain a valid address.", "help": None}]
    provider.answers(json_reply(400, {"errors": errors}))
    spared = Deferred(Reason.NOT_TRIED, "sendgrid http 400 for a neighbour", timedelta(0))
    assert await sendgrid(session, provider.base_url, 5).send(mail(4)) == [
        spared,
        refusal,
        spared,
        spared,
    ]
