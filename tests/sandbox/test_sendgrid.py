"""The SendGrid-shaped server, through SendGrid's own mail helper and signature check."""

import gzip
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dispatcher.sandbox import Provider, RunningSandbox
from tests.sandbox.clients import Clients, mail_to
from tests.sandbox.conftest import Open
from tests.sandbox.product import Product, until

Change = Callable[[dict[str, Any]], object]


async def test_a_mail_is_accepted_with_one_message_id_for_all_recipients(clients: Clients) -> None:
    status, headers, body = await clients.send_mail(
        mail_to(["anna@example.com", "ben@example.com"])
    )
    assert (status, body) == (202, b"")
    assert len(headers["X-Message-Id"]) == 22


async def test_tags_are_filled_per_recipient_in_subject_html_and_text(
    clients: Clients, sandbox: RunningSandbox
) -> None:
    await clients.send_mail(mail_to(["anna@example.com", "ben@example.com"]))
    (ben,) = sandbox.ledger.entries(Provider.SENDGRID, to="ben@example.com")
    assert ben.subject == "Checkout is slow, Person 1"
    assert ben.html == "<p>Dear Person 1</p>"
    assert ben.text == "Dear Person 1"
    assert ben.extra["Reply-To"] == "help@example.com"
    assert ben.sender == "Example Status <status@example.com>"


async def test_events_come_signed_with_our_arguments_and_a_trailing_line_end(
    clients: Clients, product: Product
) -> None:
    _, headers, _ = await clients.send_mail(mail_to(["anna@example.com"]))
    await until(lambda: product.names("anna@example.com") == ["processed", "delivered"])
    public_key = clients.sandbox.settings.sendgrid_webhook_public_key
    for posted in product.posted:
        assert posted.body.endswith(b"\r\n")
        assert posted.is_signed_by_sendgrid(public_key)
    for event in product.events:
        assert event["tidings"] == "k-0"
        assert event["rq"] == "request-1"
        assert event["category"] == ["incident"]
        assert event["sg_message_id"].startswith(headers["X-Message-Id"] + ".")
        assert event["smtp-id"].startswith("<")
        assert isinstance(event["timestamp"], int)
    assert len({event["sg_event_id"] for event in product.events}) == 2


async def test_a_changed_byte_breaks_the_signature(clients: Clients, product: Product) -> None:
    await clients.send_mail(mail_to(["anna@example.com"]))
    await until(lambda: product.posted)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    other = b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    assert not product.posted[0].is_signed_by_sendgrid(other)


async def test_events_are_posted_in_batches(open_sandbox: Open, product: Product) -> None:
    clients = await open_sandbox(event_batch=10)
    await clients.send_mail(mail_to([f"p{number}@example.com" for number in range(25)]))
    await clients.sandbox.settled()
    sizes = [len(posted.events) for posted in product.posted]
    assert sum(sizes) == 50
    assert max(sizes) == 10


async def test_a_batch_the_product_refuses_is_posted_again(
    clients: Clients, product: Product
) -> None:
    product.answers.extend([503])
    await clients.send_mail(mail_to(["silent@example.com", "dropped@example.com"]))
    await until(lambda: len(product.posted) == 2)
    assert product.posted[0].body == product.posted[1].body


@pytest.mark.parametrize(
    ("word", "events", "extra"),
    [
        ("bounce", ["processed", "bounce"], {"type": "bounce", "status": "5.1.1"}),
        ("bounce7", ["processed", "bounce"], {"type": "bounce"}),
        ("bounce.anna", ["processed", "bounce"], {"type": "bounce"}),
        ("blocked", ["processed", "bounce"], {"type": "blocked"}),
        ("asyncbounce", ["processed", "delivered", "bounce"], {"type": "bounce"}),
        ("dropped", ["dropped"], {"reason": "Bounced Address"}),
        ("unsubscribed", ["dropped"], {"reason": "Unsubscribed Address"}),
        ("complained", ["dropped"], {"reason": "Spam Reporting Address"}),
        ("invalid", ["dropped"], {"reason": "Invalid"}),
        ("filtered", ["dropped"], {"reason": "Spam Content"}),
        ("defer", ["processed", "deferred", "deferred", "deferred", "delivered"], {}),
        ("late", ["processed", "delivered"], {}),
        ("spam", ["processed", "delivered", "spamreport"], {}),
        ("unsubscribe", ["processed", "delivered", "unsubscribe"], {}),
        ("leave", ["processed", "delivered", "group_unsubscribe"], {"asm_group_id": 7}),
        ("open", ["processed", "delivered", "open"], {"useragent": "Mozilla/5.0"}),
        ("click", ["processed", "delivered", "open", "click"], {"useragent": "Mozilla/5.0"}),
        ("bouncer", ["processed", "delivered"], {"response": "250 2.0.0 OK"}),
        ("silent", [], {}),
    ],
)
async def test_magic_addresses_have_their_fate(
    clients: Clients, product: Product, word: str, events: list[str], extra: dict[str, object]
) -> None:
    address = f"{word}@example.com"
    await clients.send_mail(mail_to([address]))
    await clients.sandbox.settled()
    assert product.names(address) == events
    last = product.events[-1] if events else {}
    assert extra.items() <= last.items()


async def test_an_asynchronous_bounce_lacks_status_and_message_id(
    clients: Clients, product: Product
) -> None:
    await clients.send_mail(mail_to(["asyncbounce@example.com"]))
    await until(lambda: "bounce" in product.names("asyncbounce@example.com"))
    bounce = product.events[-1]
    assert bounce["tidings"] == "k-0"
    assert not {"status", "sg_message_id", "smtp-id"} & bounce.keys()


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("bounce", "Bounced Address"),
        ("spam", "Spam Reporting Address"),
        ("unsubscribe", "Unsubscribed Address"),
    ],
)
async def test_a_second_mail_to_a_suppressed_address_is_dropped(
    clients: Clients, product: Product, word: str, reason: str
) -> None:
    address = f"{word}@example.com"
    await clients.send_mail(mail_to([address], key="first"))
    await clients.sandbox.settled()
    await clients.send_mail(mail_to([address], key="second"))
    await clients.sandbox.settled()
    second = [event for event in product.events if event["tidings"] == "second"]
    assert [(event["event"], event["reason"]) for event in second] == [("dropped", reason)]


async def test_shares_of_ordinary_mail_bounce_and_wait_and_the_same_ones_each_time(
    open_sandbox: Open, product: Product
) -> None:
    addresses = [f"p{number}@example.com" for number in range(400)]
    bounced = []
    for _ in range(2):
        clients = await open_sandbox(bounced=0.1, deferred=0.2, seed=7)
        product.posted.clear()
        await clients.send_mail(mail_to(addresses))
        await clients.sandbox.settled()
        bounced.append({one["email"] for one in product.events if one["event"] == "bounce"})
        deferred = {one["email"] for one in product.events if one["event"] == "deferred"}
        delivered = {one["email"] for one in product.events if one["event"] == "delivered"}
        assert 20 <= len(bounced[-1]) <= 60
        assert 50 <= len(deferred) <= 110
        assert deferred <= delivered
        assert bounced[-1] | delivered == set(addresses)
    assert bounced[0] == bounced[1]


def _first(mail: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any] = mail["personalizations"][0]
    return one


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda mail: mail.pop("personalizations"), "personalizations"),
        (lambda mail: mail.update(personalizations=[]), "personalizations"),
        (
            lambda mail: mail.update(personalizations=[_first(mail)] * 1001),
            "personalizations",
        ),
        (lambda mail: mail.update(personalizations=["x"]), "personalizations.0"),
        (lambda mail: _first(mail).update(to=[]), "personalizations.0.to"),
        (lambda mail: _first(mail).pop("to"), "personalizations.0.to"),
        (
            lambda mail: _first(mail).update(to=[{"email": "not-an-address"}]),
            "personalizations.0.to.0.email",
        ),
        (
            lambda mail: _first(mail).update(to=[{"email": "a@b.co"}, {"email": "A@b.co"}]),
            "personalizations.0.to",
        ),
        (
            lambda mail: _first(mail).update(cc=[{"email": "anna@example.com"}]),
            "personalizations.0.cc",
        ),
        (
            lambda mail: _first(mail).update(
                bcc=[{"email": f"p{number}@example.com"} for number in range(1000)]
            ),
            "personalizations",
        ),
        (lambda mail: _first(mail).update(bcc="x"), "personalizations.0.bcc"),
        (
            lambda mail: _first(mail).update(custom_args={"tidings": 7}),
            "personalizations.0.custom_args.tidings",
        ),
        (
            lambda mail: _first(mail).update(custom_args=["tidings"]),
            "personalizations.0.custom_args",
        ),
        (
            lambda mail: _first(mail).update(custom_args={"tidings": "x" * 10_000}),
            "personalizations.0.custom_args",
        ),
        (
            lambda mail: _first(mail).update(substitutions={"-n-": "€" * 3_334}),
            "personalizations.0.substitutions",
        ),
        (
            lambda mail: _first(mail).update(headers={"Subject": "x"}),
            "personalizations.0.headers.Subject",
        ),
        (lambda mail: mail.update(headers={"X-A": "a\r\nb"}), "headers.X-A"),
        (lambda mail: mail.update(headers=["X-A"]), "headers"),
        (lambda mail: mail.pop("from"), "from.email"),
        (lambda mail: mail.update({"from": {"email": "nobody"}}), "from.email"),
        (lambda mail: mail.update(reply_to={"name": "nobody"}), "reply_to.email"),
        (lambda mail: mail.pop("subject"), "subject"),
        (lambda mail: mail.pop("content"), "content"),
        (lambda mail: mail.update(content=[{"type": "", "value": "x"}]), "content.0.type"),
        (
            lambda mail: mail.update(content=[{"type": "text/plain", "value": ""}]),
            "content.0.value",
        ),
        (lambda mail: mail["content"].reverse(), "content"),
    ],
)
async def test_what_sendgrid_refuses_is_refused_with_the_field_named(
    clients: Clients, sandbox: RunningSandbox, change: Change, field: str
) -> None:
    mail = mail_to(["anna@example.com"]).get()
    change(mail)
    status, _, body = await clients.send_mail(mail)
    assert status == 400
    assert field in [error["field"] for error in orjson.loads(body)["errors"]]
    assert len(sandbox.ledger) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda mail: _first(mail).update(custom_args={"tidings": "x" * 9_993}),
        lambda mail: _first(mail).update(to=[{"email": "a@b.co"}, {"email": "c@d.co"}]),
        lambda mail: (_first(mail).update(subject="Own"), mail.pop("subject")),
        lambda mail: (mail.update(template_id="d-1"), mail.pop("content"), mail.pop("subject")),
        lambda mail: mail.update(content=[{"type": "text/html", "value": "x"}]),
        lambda mail: _first(mail).update(headers={"List-Unsubscribe": "<https://example.com/u>"}),
    ],
)
async def test_what_sendgrid_takes_is_taken(clients: Clients, change: Change) -> None:
    mail = mail_to(["anna@example.com"]).get()
    change(mail)
    status, _, body = await clients.send_mail(mail)
    assert (status, body) == (202, b"")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"mail"', b"null", b"\xff"])
async def test_a_body_that_is_no_mail_is_refused(clients: Clients, body: bytes) -> None:
    url = f"{clients.sandbox.sendgrid_url}/v3/mail/send"
    headers = {"Authorization": "Bearer SG.sandbox"}
    async with clients.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert "errors" in await answer.json()


async def test_a_wrong_or_missing_key_is_refused(clients: Clients) -> None:
    for key in ("SG.other", "", "é"):
        status, _, body = await clients.send_mail(mail_to(["anna@example.com"]), key=key)
        assert status == 401
        assert orjson.loads(body)["errors"][0]["field"] is None


async def test_sandbox_mode_is_answered_200_and_leaves_no_trace(
    clients: Clients, product: Product
) -> None:
    mail = mail_to(["anna@example.com"]).get()
    mail["mail_settings"] = {"sandbox_mode": {"enable": True}}
    status, _, _ = await clients.send_mail(mail)
    await clients.sandbox.settled()
    assert status == 200
    assert len(clients.sandbox.ledger) == 0
    assert not product.posted


async def test_more_than_thirty_megabytes_are_too_much(clients: Clients) -> None:
    body = BytesIO(b'"' + b"x" * (30 * 1024 * 1024) + b'"')
    headers = {"Authorization": "Bearer SG.sandbox"}
    url = f"{clients.sandbox.sendgrid_url}/v3/mail/send"
    async with clients.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 413


async def test_a_compressed_body_is_read(clients: Clients) -> None:
    body = gzip.compress(orjson.dumps(mail_to(["anna@example.com"]).get()))
    headers = {"Authorization": "Bearer SG.sandbox", "Content-Encoding": "gzip"}
    url = f"{clients.sandbox.sendgrid_url}/v3/mail/send"
    async with clients.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 202


async def test_without_a_listening_product_mails_are_accepted_all_the_same(
    open_sandbox: Open,
) -> None:
    clients = await open_sandbox(receipts_url=None)
    status, _, _ = await clients.send_mail(mail_to(["anna@example.com"]))
    await clients.sandbox.settled()
    assert status == 202
    assert len(clients.sandbox.ledger) == 1
