"""The product's own adapters and the sandbox understand each other."""

from datetime import UTC, datetime, timedelta

import pytest

from channels.model import (
    Accepted,
    Channel,
    ChannelKind,
    Deferred,
    Fact,
    LookUp,
    Message,
    Receipt,
    Recipient,
    Rejected,
)
from channels.registry import build_channels
from channels.sendgrid import SendGridChannel
from channels.settings import ChannelSettings, SendGridSettings, TwilioSettings, XSettings
from channels.twilio import TwilioChannel
from channels.x import XChannel
from dispatcher.sandbox import Provider
from tests.sandbox.clients import Clients
from tests.sandbox.product import Product

KEY = "0123456789abcdefghijklmn"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def channels(clients: Clients, product: Product) -> dict[ChannelKind, Channel]:
    sandbox, given = clients.sandbox, clients.sandbox.settings
    settings = ChannelSettings(
        sendgrid=SendGridSettings(
            api_key=given.sendgrid_api_key,
            base_url=sandbox.sendgrid_url,
            webhook_public_key=given.sendgrid_webhook_public_key,
        ),
        twilio=TwilioSettings(
            account_sid=given.twilio_account_sid,
            auth_token=given.twilio_auth_token,
            base_url=sandbox.twilio_url,
        ),
        x=XSettings(
            consumer_key=given.x_consumer_key,
            consumer_secret=given.x_consumer_secret,
            access_token=given.x_access_token,
            access_token_secret=given.x_access_token_secret,
            base_url=sandbox.x_url,
        ),
    )
    return dict(
        build_channels(settings, open_session=lambda: clients.session, public_url=product.url)
    )


def message(parts: dict[str, str], *recipients: Recipient, sender: str = "") -> Message:
    return Message(
        request_id="request-1",
        sender=sender or "status@example.com",
        parts=parts,
        recipients=recipients,
        valid_for=timedelta(hours=1),
    )


def mail(*recipients: Recipient) -> Message:
    return message({"subject": "-a-", "html": "<p>-a-</p>", "text": "-a-"}, *recipients)


def text(address: str) -> Message:
    return message({"text": "x"}, Recipient(key=KEY, address=address), sender="+15005550006")


def told(channel: SendGridChannel | TwilioChannel, product: Product) -> list[Receipt]:
    """Every receipt the product was sent, as the adapter reads it."""
    return [
        receipt
        for one in product.posted
        for receipt in channel.receipts(
            raw_path=one.path, headers=one.headers, body=one.body, now=NOW
        )
    ]


async def test_a_mail_is_taken_filled_and_reported_back_under_its_key(
    channels: dict[ChannelKind, Channel], clients: Clients, product: Product
) -> None:
    channel = channels[ChannelKind.EMAIL]
    assert isinstance(channel, SendGridChannel)
    people = [
        Recipient(key=f"{KEY}{number}", address=address, values={"-a-": f"Dear {number}"})
        for number, address in enumerate(("anna@example.com", "bounce@example.com"))
    ]
    results = await channel.send(mail(*people))
    (entry,) = clients.sandbox.ledger.entries(Provider.SENDGRID, to="anna@example.com")
    assert results == [Accepted(entry.provider_ref)] * 2
    assert (entry.subject, entry.html, entry.text) == ("Dear 0", "<p>Dear 0</p>", "Dear 0")
    assert (entry.key, entry.request_id) == (f"{KEY}0", "request-1")
    await clients.sandbox.settled()
    facts = {(receipt.key[-1], receipt.fact) for receipt in told(channel, product)}
    assert facts == {
        ("0", Fact.QUEUED),
        ("0", Fact.DELIVERED),
        ("1", Fact.QUEUED),
        ("1", Fact.BOUNCED_HARD),
    }


async def test_a_text_is_taken_and_reported_back_and_can_be_looked_up(
    channels: dict[ChannelKind, Channel], clients: Clients, product: Product
) -> None:
    channel = channels[ChannelKind.SMS]
    assert isinstance(channel, TwilioChannel)
    (result,) = await channel.send(text("+12125550101"))
    assert isinstance(result, Accepted)
    await clients.sandbox.settled()
    receipts = told(channel, product)
    assert [receipt.fact for receipt in receipts] == [Fact.SENT, Fact.DELIVERED]
    assert {receipt.key for receipt in receipts} == {KEY}
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    question = LookUp(address="+12125550101", text="x", since=hour_ago, sender="+15005550006")
    found = await channel.look_up(question)
    assert isinstance(found, Accepted)
    assert found.provider_ref == result.provider_ref


async def test_an_opt_out_by_text_reaches_the_adapter_and_blocks(
    channels: dict[ChannelKind, Channel], clients: Clients, product: Product
) -> None:
    channel = channels[ChannelKind.SMS]
    assert isinstance(channel, TwilioChannel)
    stop = {"from": "+12125550101", "to": "+15005550006", "body": "STOP"}
    await clients.control("POST", "inbound", stop)
    (receipt,) = told(channel, product)
    assert (receipt.fact, receipt.suppress, receipt.address) == (
        Fact.UNSUBSCRIBED,
        True,
        "+12125550101",
    )
    (result,) = await channel.send(text("+12125550101"))
    assert isinstance(result, Rejected)
    assert result.suppress


async def test_a_post_is_taken_once_and_found_again(
    channels: dict[ChannelKind, Channel],
) -> None:
    channel = channels[ChannelKind.SOCIAL]
    assert isinstance(channel, XChannel)
    words = "Checkout is slow. https://status.example.com/i/42"
    post = message({"text": words}, Recipient(key=KEY, address=""))
    (result,) = await channel.send(post)
    assert isinstance(result, Accepted)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    found = await channel.look_up(LookUp(address="", text=words, since=hour_ago, sender=""))
    assert isinstance(found, Accepted)
    assert found.provider_ref == result.provider_ref


async def test_a_limit_of_each_provider_defers(
    channels: dict[ChannelKind, Channel], clients: Clients
) -> None:
    for provider in Provider:
        await clients.fault(provider=provider.value, kind="rate_limit", retry_after=30)
    person = Recipient(key=KEY, address="anna@example.com")
    answers = [
        *await channels[ChannelKind.EMAIL].send(mail(person)),
        *await channels[ChannelKind.SMS].send(text("+12125550101")),
        *await channels[ChannelKind.SOCIAL].send(
            message({"text": "x"}, Recipient(key=KEY, address=""))
        ),
    ]
    assert all(isinstance(answer, Deferred) for answer in answers), answers
