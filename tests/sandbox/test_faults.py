"""Each fault switch, seen from the client and from the ledger."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest
from twilio.base.exceptions import TwilioRestException

from dispatcher.sandbox import Provider
from tests.sandbox.clients import Answer, Clients, mail_to
from tests.sandbox.conftest import Open
from tests.sandbox.product import Product

ANNA = "+12125550101"
MAIL = mail_to(["anna@example.com"])


async def send(clients: Clients, provider: str) -> Answer:
    """One plain send, without an SDK in between: status, headers, body."""
    settings = clients.sandbox.settings
    options: dict[str, Any]
    if provider == "sendgrid":
        return await clients.send_mail(MAIL)
    if provider == "x":
        headers = {"Authorization": 'OAuth oauth_consumer_key="sandbox", oauth_token="1-sandbox"'}
        url, options = f"{clients.sandbox.x_url}/2/tweets", {"json": {"text": "Checkout is slow."}}
    else:
        basic = aiohttp.encode_basic_auth(settings.twilio_account_sid, "sandbox")
        headers = {"Authorization": basic}
        account = f"/2010-04-01/Accounts/{settings.twilio_account_sid}"
        url = f"{clients.sandbox.twilio_url}{account}/Messages.json"
        options = {"data": {"To": ANNA, "From": "+15005550006", "Body": "x"}}
    async with clients.session.post(url, headers=headers, **options) as answer:
        return answer.status, answer.headers, await answer.read()


PROVIDERS = [provider.value for provider in Provider]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_status_storm_ends_after_as_many_requests_as_told(
    clients: Clients, provider: str
) -> None:
    await clients.fault(provider=provider, kind="status", status=503, times=2)
    statuses = [(await send(clients, provider))[0] for _ in range(3)]
    assert statuses[:2] == [503, 503]
    assert statuses[2] < 300
    assert len(clients.sandbox.ledger) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_one_providers_fault_does_not_touch_the_others(
    clients: Clients, provider: str
) -> None:
    await clients.fault(provider=provider, kind="status", status=500)
    failed = [other for other in PROVIDERS if (await send(clients, other))[0] == 500]
    assert failed == [provider]


@pytest.mark.parametrize(
    ("provider", "header"),
    [
        ("sendgrid", "Retry-After"),
        ("twilio", "Retry-After"),
        ("x", "x-rate-limit-reset"),
    ],
)
async def test_429_comes_with_or_without_a_time(
    clients: Clients, provider: str, header: str
) -> None:
    await clients.fault(provider=provider, kind="rate_limit", retry_after=7, times=1)
    await clients.fault(provider=provider, kind="rate_limit", times=1)
    status, headers, _ = await send(clients, provider)
    assert (status, header in headers) == (429, True)
    status, headers, _ = await send(clients, provider)
    assert (status, header in headers) == (429, False)
    assert len(clients.sandbox.ledger) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_revoked_credentials_are_refused_until_the_fault_is_cleared(
    clients: Clients, provider: str
) -> None:
    await clients.fault(provider=provider, kind="credentials_revoked")
    assert (await send(clients, provider))[0] == 401
    await clients.control("DELETE", "faults")
    assert (await send(clients, provider))[0] < 300


async def test_revoked_credentials_stop_look_ups_and_other_faults_do_not(clients: Clients) -> None:
    await clients.fault(provider="twilio", kind="status", status=500)
    assert await clients.twilio().messages.list_async() == []
    await clients.fault(provider="twilio", kind="credentials_revoked")
    message = clients.twilio().messages("SM" + "a" * 32)
    with pytest.raises(TwilioRestException) as refused:
        await message.fetch_async()
    assert refused.value.status == 401


async def test_a_fault_can_be_aimed_at_look_ups(clients: Clients) -> None:
    await clients.fault(provider="twilio", kind="status", status=503, on="look_up")
    message = await clients.text(ANNA)
    with pytest.raises(TwilioRestException) as refused:
        await clients.twilio().messages(message.sid).fetch_async()
    assert (refused.value.status, refused.value.code) == (503, 20503)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_reset_before_acceptance_leaves_nothing_in_the_ledger(
    clients: Clients, provider: str
) -> None:
    await clients.fault(provider=provider, kind="reset_before_accept", times=1)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await send(clients, provider)
    assert len(clients.sandbox.ledger) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_reset_after_acceptance_hides_what_the_ledger_holds(
    clients: Clients, provider: str
) -> None:
    await clients.fault(provider=provider, kind="accept_then_reset", times=1)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await send(clients, provider)
    assert len(clients.sandbox.ledger) == 1


async def test_what_was_accepted_before_a_reset_is_delivered(
    clients: Clients, product: Product
) -> None:
    await clients.fault(provider="sendgrid", kind="accept_then_reset", times=1)
    with pytest.raises(aiohttp.ClientError):
        await clients.send_mail(MAIL)
    await clients.sandbox.settled()
    assert product.names("anna@example.com") == ["processed", "delivered"]


async def test_half_a_batch_is_accepted_and_told_about_then_the_connection_ends(
    clients: Clients, product: Product
) -> None:
    await clients.fault(provider="sendgrid", kind="half_accept", accept=400, times=1)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await clients.send_mail(mail_to([f"p{number}@example.com" for number in range(1000)]))
    await clients.sandbox.settled()
    keys = [row["key"] for row in clients.sandbox.ledger.rows()]
    assert keys == [f"k-{number}" for number in range(400)]
    assert {event["tidings"] for event in product.events} == set(keys)


@pytest.mark.parametrize("provider", ["twilio", "x"])
async def test_a_truncated_body_is_an_acceptance_nobody_can_read(
    clients: Clients, provider: str
) -> None:
    await clients.fault(provider=provider, kind="truncated_body", times=1)
    status, _, body = await send(clients, provider)
    assert status == 201
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    assert len(clients.sandbox.ledger) == 1


async def test_sendgrids_truncated_answer_lacks_the_message_id(clients: Clients) -> None:
    await clients.fault(provider="sendgrid", kind="truncated_body", times=1)
    status, headers, _ = await clients.send_mail(MAIL)
    assert (status, "X-Message-Id" in headers) == (202, False)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("kind", "accepted"), [("html_body", 0), ("accept_then_html", 1)])
async def test_a_gateways_error_page_comes_before_or_after_acceptance(
    clients: Clients, provider: str, kind: str, accepted: int
) -> None:
    await clients.fault(provider=provider, kind=kind, status=502, times=1)
    status, headers, body = await send(clients, provider)
    assert (status, headers["Content-Type"].split(";")[0]) == (502, "text/html")
    assert body.startswith(b"<html>")
    assert len(clients.sandbox.ledger) == accepted


async def test_a_slow_provider_keeps_the_client_waiting(clients: Clients) -> None:
    await clients.fault(provider="sendgrid", kind="slow", seconds=60, times=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await clients.send_mail(MAIL)
    assert (await clients.send_mail(MAIL))[0] == 202


async def test_receipts_may_come_before_the_answer(open_sandbox: Open, product: Product) -> None:
    clients = await open_sandbox(receipts_after=(60, 60))
    for provider in ("sendgrid", "twilio"):
        await clients.fault(provider=provider, kind="receipt_first", times=1)
    await clients.send_mail(MAIL)
    assert product.names("anna@example.com") == ["processed", "delivered"]
    await clients.text(ANNA, status_callback=f"{product.url}/v1/receipts/twilio?d=k")
    assert product.statuses == ["sent", "delivered"]


async def test_a_receipt_that_comes_first_is_repeated_later_when_it_is_refused(
    clients: Clients, product: Product
) -> None:
    product.answers.append(503)
    await clients.fault(provider="sendgrid", kind="receipt_first", times=1)
    await clients.send_mail(MAIL)
    await clients.sandbox.settled()
    assert product.names("anna@example.com") == ["processed", "delivered"] * 2


async def told(clients: Clients, product: Product, provider: str) -> list[str]:
    """The receipts of one message."""
    if provider == "sendgrid":
        await clients.send_mail(MAIL)
        await clients.sandbox.settled()
        return product.names("anna@example.com")
    await clients.text(ANNA, status_callback=f"{product.url}/v1/receipts/twilio?d=k")
    await clients.sandbox.settled()
    return product.statuses


ORDER = {"sendgrid": ["processed", "delivered"], "twilio": ["sent", "delivered"]}


@pytest.mark.parametrize("provider", ["sendgrid", "twilio"])
async def test_lost_receipts_never_come(clients: Clients, product: Product, provider: str) -> None:
    await clients.fault(provider=provider, kind="receipts_lost", times=1)
    assert await told(clients, product, provider) == ["delivered"]


@pytest.mark.parametrize("provider", ["sendgrid", "twilio"])
async def test_doubled_receipts_come_as_often_as_told(
    clients: Clients, product: Product, provider: str
) -> None:
    await clients.fault(provider=provider, kind="receipts_duplicated", copies=3, times=1)
    first, last = ORDER[provider]
    assert await told(clients, product, provider) == [first] * 3 + [last]


async def test_doubled_sendgrid_events_differ_in_their_ids(
    clients: Clients, product: Product
) -> None:
    await clients.fault(provider="sendgrid", kind="receipts_duplicated", copies=5)
    await told(clients, product, "sendgrid")
    assert len({event["sg_event_id"] for event in product.events}) == 10


@pytest.mark.parametrize("provider", ["sendgrid", "twilio"])
async def test_reordered_receipts_come_last_first(
    open_sandbox: Open, product: Product, provider: str
) -> None:
    clients = await open_sandbox(receipts_after=(0, 1))
    await clients.fault(provider=provider, kind="receipts_reordered")
    assert await told(clients, product, provider) == ORDER[provider][::-1]


async def test_a_text_delivered_before_it_was_sent_stays_delivered(
    open_sandbox: Open, product: Product
) -> None:
    clients = await open_sandbox(receipts_after=(0, 1))
    await clients.fault(provider="twilio", kind="receipts_reordered")
    await told(clients, product, "twilio")
    (entry,) = clients.sandbox.ledger.entries(Provider.TWILIO)
    assert entry.state == "delivered"


@pytest.mark.parametrize("provider", ["sendgrid", "twilio"])
async def test_delayed_receipts_wait(clients: Clients, product: Product, provider: str) -> None:
    await clients.fault(provider=provider, kind="receipts_delayed", seconds=0.5, times=1)
    assert await told(clients, product, provider) == ORDER[provider][::-1]


async def test_a_share_of_requests_is_hit_and_the_same_ones_for_the_same_seed(
    open_sandbox: Open,
) -> None:
    runs = []
    for _ in range(2):
        clients = await open_sandbox(seed=3)
        await clients.fault(provider="sendgrid", kind="status", status=500, probability=0.5)
        runs.append([(await clients.send_mail(MAIL))[0] for _ in range(40)])
    assert runs[0] == runs[1]
    assert 8 <= runs[0].count(500) <= 32


async def test_faults_are_listed_with_their_strikes_and_cleared_one_by_one(
    clients: Clients,
) -> None:
    await clients.fault(provider="sendgrid", kind="status", status=500, times=2)
    await clients.fault(provider="x", kind="slow", seconds=1)
    await clients.send_mail(MAIL)
    _, listed = await clients.control("GET", "faults")
    assert [(one["id"], one["fault"]["kind"], one["struck"]) for one in listed] == [
        (1, "status", 1),
        (2, "slow", 0),
    ]
    assert await clients.control("DELETE", "faults/2") == (200, {"cleared": 1})
    assert (await clients.control("DELETE", "faults/2"))[0] == 404
    await clients.send_mail(MAIL)
    assert await clients.control("GET", "faults") == (200, [])


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"provider": "sendgrid", "kind": "earthquake"}, None),
        ({"provider": "post", "kind": "receipts_lost"}, "provider"),
        ({"provider": "x", "kind": "status"}, "status"),
        ({"provider": "x", "kind": "status", "status": 200}, "status"),
        ({"provider": "x", "kind": "slow", "seconds": -1}, "seconds"),
        ({"provider": "x", "kind": "slow", "seconds": 1, "probability": 2}, "probability"),
        ({"provider": "x", "kind": "slow", "seconds": 1, "colour": "red"}, "colour"),
        ({"provider": "sendgrid", "kind": "receipts_duplicated", "copies": 1}, "copies"),
    ],
)
async def test_a_malformed_fault_is_refused_with_the_field_and_none_is_switched_on(
    clients: Clients, fault: dict[str, Any], field: str | None
) -> None:
    good = {"provider": "x", "kind": "reset_before_accept"}
    status, answer = await clients.control("POST", "faults", [good, fault])
    assert status == 422
    where = answer["errors"][0]["loc"]
    assert where[0] == 1
    assert field is None or where[-1] == field
    assert await clients.control("GET", "faults") == (200, [])
