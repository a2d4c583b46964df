"""The Twilio-shaped server, through Twilio's own SDK and signature check."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from twilio.base.exceptions import TwilioException, TwilioRestException

from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.sandbox.twilio.segments import segments
from tests.sandbox.clients import Clients
from tests.sandbox.conftest import Open
from tests.sandbox.product import Product, until

ANNA = "+12125550101"


def callback(product: Product, key: str = "k-1", fragment: str = "rc=0") -> str:
    return f"{product.url}/v1/receipts/twilio?d={key}#{fragment}"


async def refusal(clients: Clients, **options: Any) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as refused:
        await clients.text(**options)
    error: TwilioRestException = refused.value
    return error


async def test_a_text_is_accepted_as_queued_with_every_field_of_the_resource(
    clients: Clients,
) -> None:
    message = await clients.text(ANNA, body="x" * 161)
    assert message.sid.startswith("SM")
    assert (message.status, message.num_segments, message.direction) == (
        "queued",
        "2",
        "outbound-api",
    )
    assert message.date_sent is None
    assert abs(message.date_created - datetime.now(UTC)) < timedelta(minutes=1)


async def test_with_a_messaging_service_it_is_accepted_and_segments_are_not_known_yet(
    clients: Clients,
) -> None:
    message = await clients.text(ANNA, from_=None, messaging_service_sid="MG" + "a" * 32)
    assert (message.status, message.num_segments) == ("accepted", "0")


async def test_callbacks_tell_sent_then_delivered_but_never_the_first_status(
    clients: Clients, product: Product
) -> None:
    message = await clients.text(ANNA, status_callback=callback(product))
    await clients.sandbox.settled()
    assert product.statuses == ["sent", "delivered"]
    for posted in product.posted:
        assert posted.path == "/v1/receipts/twilio?d=k-1"
        assert posted.form["MessageSid"] == posted.form["SmsSid"] == message.sid
        assert posted.form["To"] == ANNA
        assert posted.is_signed_by_twilio("sandbox", product.url)
        assert not posted.is_signed_by_twilio("other", product.url)


async def test_callbacks_are_signed_for_the_public_url_and_dialled_where_the_product_listens(
    open_sandbox: Open, product: Product
) -> None:
    clients = await open_sandbox(public_url="https://tidings.example.com")
    await clients.text(ANNA, status_callback="https://tidings.example.com/v1/receipts/twilio?d=k")
    await clients.sandbox.settled()
    assert product.statuses == ["sent", "delivered"]
    assert product.posted[0].is_signed_by_twilio("sandbox", "https://tidings.example.com")
    assert not product.posted[0].is_signed_by_twilio("sandbox", product.url)


@pytest.mark.parametrize(
    ("ending", "statuses", "error"),
    [
        ("0101", ["sent", "delivered"], None),
        ("0189", ["sent", "delivered"], None),
        ("0190", ["sent"], None),
        ("0191", [], None),
        ("0192", ["sent", "delivered"], None),
        ("0193", ["failed"], "30001"),
        ("0194", ["sent", "undelivered"], "30003"),
        ("0195", ["sent", "undelivered"], "30004"),
        ("0196", ["sent", "undelivered"], "30006"),
        ("0197", ["sent", "undelivered"], "30007"),
        ("0198", ["sent", "undelivered"], "30008"),
        ("0199", ["sent", "undelivered"], "30005"),
    ],
)
async def test_magic_endings_have_their_fate(
    clients: Clients, product: Product, ending: str, statuses: list[str], error: str | None
) -> None:
    message = await clients.text("+1212555" + ending, status_callback=callback(product))
    await clients.sandbox.settled()
    assert product.statuses == statuses
    assert (product.posted[-1].form.get("ErrorCode") if statuses else None) == error
    fetched = await clients.twilio().messages(message.sid).fetch_async()
    assert fetched.status == (statuses or ["queued"])[-1]
    assert fetched.error_code == (int(error) if error else None)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"to": "+15005550001"}, 21211),
        ({"to": "+15005550002"}, 21612),
        ({"to": "+15005550003"}, 21408),
        ({"to": "+15005550004"}, 21610),
        ({"to": "+15005550009"}, 21614),
        ({"to": ANNA, "from_": "+15005550001"}, 21212),
        ({"to": ANNA, "from_": "+15005550007"}, 21606),
        ({"to": ANNA, "from_": "+15005550008"}, 21611),
        ({"to": ""}, 21604),
        ({"to": "notaphone"}, 21211),
        ({"to": ANNA, "from_": ""}, 21603),
        ({"to": ANNA, "from_": "!"}, 21212),
        ({"to": ANNA, "from_": None, "messaging_service_sid": "MGshort"}, 21701),
        ({"to": ANNA, "body": ""}, 21602),
        ({"to": ANNA, "body": "x" * 1601}, 21617),
        ({"to": ANNA, "status_callback": "not a url"}, 21609),
        ({"to": ANNA, "status_callback": "https://under_score.example.com/"}, 21609),
        ({"to": ANNA, "validity_period": 36_001}, 20001),
        ({"to": ANNA, "validity_period": 0}, 20001),
    ],
)
async def test_what_twilio_refuses_is_refused_with_its_code(
    clients: Clients, options: dict[str, Any], code: int
) -> None:
    refused = await refusal(clients, **options)
    assert (refused.status, refused.code) == (400, code)
    assert len(clients.sandbox.ledger) == 0


async def test_the_good_magic_number_sends(clients: Clients) -> None:
    assert (await clients.text(ANNA, from_="+15005550006")).status == "queued"


async def test_a_wrong_token_is_refused_and_another_account_is_unknown(clients: Clients) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await clients.twilio("wrong").messages.create_async(to=ANNA, from_="+15005550006", body="x")
    assert (refused.value.status, refused.value.code) == (401, 20003)
    url = f"{clients.sandbox.twilio_url}/2010-04-01/Accounts/ACother/Messages.json"
    account = clients.sandbox.settings.twilio_account_sid
    basic = {"Authorization": encode_basic_auth(account, "sandbox")}
    async with clients.session.get(url, headers=basic) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, 20404)


async def test_a_text_in_its_queue_can_be_cancelled_and_is_not_sent(
    open_sandbox: Open, product: Product
) -> None:
    clients = await open_sandbox(receipts_after=(0.3, 0.4))
    message = await clients.text(ANNA, status_callback=callback(product))
    cancelled = await clients.twilio().messages(message.sid).update_async(status="canceled")
    await clients.sandbox.settled()
    assert cancelled.status == "canceled"
    assert product.statuses == []


async def test_a_text_on_its_way_cannot_be_cancelled_but_blanked_and_deleted(
    clients: Clients,
) -> None:
    message = clients.twilio().messages((await clients.text(ANNA)).sid)
    await clients.sandbox.settled()
    with pytest.raises(TwilioRestException) as refused:
        await message.update_async(status="canceled")
    assert refused.value.code == 30409
    assert (await message.update_async(body="")).body == ""
    with pytest.raises(TwilioRestException) as pointless:
        await message.update_async(body="new words")
    assert pointless.value.code == 20001
    assert await message.delete_async()
    for gone in (message.fetch_async(), message.update_async(body="")):
        with pytest.raises(TwilioRestException) as missing:
            await gone
        assert missing.value.code == 20404
    with pytest.raises(TwilioRestException):
        await message.delete_async()


async def test_the_list_is_newest_first_filtered_and_paged(clients: Clients) -> None:
    for number in range(5):
        await clients.text(ANNA, body=f"text {number}")
    await clients.text("+12125550102", body="to Ben")
    await clients.text(ANNA, body="from another", from_="+15005550010")
    await clients.sandbox.settled()
    messages = clients.twilio().messages
    mine = await messages.list_async(to=ANNA, from_="+15005550006", page_size=2)
    assert [one.body for one in mine] == [f"text {number}" for number in (4, 3, 2, 1, 0)]
    assert len(await messages.list_async()) == 7
    assert len(await messages.list_async(limit=3, page_size=2)) == 3


async def test_filters_on_the_date_sent_miss_what_still_waits(open_sandbox: Open) -> None:
    clients = await open_sandbox(receipts_after=(60, 60))
    await clients.text(ANNA)
    messages = clients.twilio().messages
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert len(await messages.list_async(to=ANNA)) == 1
    assert await messages.list_async(to=ANNA, date_sent_after=yesterday) == []


async def test_filters_on_the_date_sent_find_what_was_sent(clients: Clients) -> None:
    await clients.text(ANNA)
    await clients.sandbox.settled()
    messages = clients.twilio().messages
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert len(await messages.list_async(date_sent_after=now - hour)) == 1
    assert len(await messages.list_async(date_sent_before=now + hour)) == 1
    assert len(await messages.list_async(date_sent=now.date())) == 1
    assert await messages.list_async(date_sent_before=now - hour) == []
    with pytest.raises(TwilioException):
        await messages.list_async(date_sent="yesterday")


async def test_a_slow_sender_queues_and_refuses_beyond_ten_hours(open_sandbox: Open) -> None:
    clients = await open_sandbox(twilio_segments_per_second=1 / 20_000)
    await clients.text(ANNA)
    await clients.text(ANNA)
    assert (await refusal(clients, to=ANNA)).code == 21611
    assert (await clients.text(ANNA, from_="+15005550010")).status == "queued"


async def test_a_text_whose_validity_ends_in_the_queue_fails(
    open_sandbox: Open, product: Product
) -> None:
    clients = await open_sandbox(twilio_segments_per_second=0.01)
    await clients.text(ANNA)
    await clients.text(ANNA, validity_period=1, status_callback=callback(product))
    await until(lambda: product.statuses == ["failed"])
    assert product.posted[0].form["ErrorCode"] == "30036"


async def test_more_requests_at_a_time_than_allowed_are_answered_429(open_sandbox: Open) -> None:
    clients = await open_sandbox(twilio_concurrency=1)
    await clients.fault(provider="twilio", kind="slow", seconds=0.3, times=1)
    outcomes = await asyncio.gather(
        clients.text(ANNA), clients.text("+12125550102"), return_exceptions=True
    )
    codes = sorted(getattr(one, "code", 0) for one in outcomes)
    assert codes == [0, 20429]


@pytest.mark.parametrize(
    ("fragment", "answers", "posts"),
    [
        ("rc=0", [500], 1),
        ("rc=2&rp=all", [500, 404], 3),
        ("rc=2&rp=5xx", [500, 404], 2),
        ("rc=2&rp=4xx,5xx", [500, 404], 3),
        ("rc=2&rp=all", [], 1),
        ("", [500], 1),
        ("rc=nonsense&rt=nonsense", [500], 1),
        ("rc=9&rp=all", [500] * 9, 6),
    ],
)
async def test_callbacks_are_repeated_as_their_fragment_says(
    clients: Clients, product: Product, fragment: str, answers: list[int], posts: int
) -> None:
    product.answers.extend(answers)
    await clients.text("+12125550190", status_callback=callback(product, fragment=fragment))
    await clients.sandbox.settled()
    assert product.statuses == ["sent"] * posts


async def test_a_product_that_is_down_does_not_stop_the_sandbox(
    clients: Clients, product: Product
) -> None:
    nobody = "http://127.0.0.1:9/v1/receipts/twilio"
    await clients.text(ANNA, status_callback=nobody + "#rc=1")
    await clients.text(ANNA, status_callback=callback(product))
    await clients.sandbox.settled()
    assert product.statuses == ["sent", "delivered"]


async def test_a_stop_is_told_signed_and_blocks_until_start(
    clients: Clients, product: Product
) -> None:
    stop = {"from": ANNA, "to": "+15005550006", "body": " Stop "}
    assert await clients.control("POST", "inbound", stop) == (200, {"webhook_status": 200})
    (posted,) = product.posted
    assert posted.path == "/v1/receipts/twilio"
    assert posted.is_signed_by_twilio("sandbox", product.url)
    assert (posted.form["Body"], posted.form["From"]) == (" Stop ", ANNA)
    assert posted.form["SmsStatus"] == "received"
    assert (await refusal(clients, to=ANNA)).code == 21610
    await clients.text(ANNA, from_="+15005550010")
    await clients.control("POST", "inbound", {**stop, "body": "START"})
    assert (await clients.text(ANNA)).status == "queued"


async def test_words_that_only_contain_stop_do_not_block(clients: Clients) -> None:
    text = {"from": ANNA, "to": "+15005550006", "body": "please stop"}
    await clients.control("POST", "inbound", text)
    assert (await clients.text(ANNA)).status == "queued"


async def test_the_key_of_the_callback_is_in_the_ledger(
    clients: Clients, sandbox: RunningSandbox, product: Product
) -> None:
    url = f"{product.url}/v1/receipts/twilio?d=k-9&rq=r-9"
    message = await clients.text(ANNA, status_callback=url)
    (row,) = sandbox.ledger.rows()
    assert (row["provider"], row["key"], row["rq"]) == ("twilio", "k-9", "r-9")
    (entry,) = sandbox.ledger.entries(Provider.TWILIO)
    assert (entry.provider_ref, entry.to, entry.text) == (message.sid, ANNA, "Checkout is slow.")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("x" * 152 + "€" + "x" * 152, 3),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
        ("`" + "x" * 70, 2),
    ],
)
def test_segments_are_counted_as_carriers_do(text: str, parts: int) -> None:
    assert segments(text) == parts
