"""Texts: the request, every code's meaning, and looking up what became of one."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

import aiohttp
import pytest

from channels.model import Accepted, Deferred, Fact, LookUp, Message, Reason, Rejected, Unclear
from channels.twilio_codes import CODES, STATUSES
from tests.channels.adapters import ACCOUNT_SID, AUTH_TOKEN, KEY, PHONE, json_reply, text, twilio
from tests.channels.provider import Reply, ScriptedProvider

SID = "SM" + "a" * 32
CREATED = json_reply(201, {"sid": SID, "status": "queued"})
NOW = datetime(2026, 9, 21, 12, 0, 0, 700_000, tzinfo=UTC)


async def form_of(
    provider: ScriptedProvider, session: aiohttp.ClientSession, message: Message
) -> dict[str, str]:
    provider.answers(CREATED)
    await twilio(session, provider.base_url, 5).send(message)
    return dict(parse_qsl(provider.seen[-1].body.decode(), strict_parsing=True))


async def test_the_request_names_the_callback_that_carries_our_key(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    assert await form_of(provider, session, text("Hello")) == {
        "To": PHONE,
        "From": "+15550199",
        "Body": "Hello",
        "StatusCallback": f"https://status.example.com/v1/receipts/twilio?d={KEY}#rc=3&rp=all",
        "ValidityPeriod": "1800",
        "SmartEncoded": "false",
    }
    (seen,) = provider.seen
    assert seen.raw_path == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    assert seen.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert seen.headers["Authorization"] == aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)


async def test_a_messaging_service_is_named_as_one(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    form = await form_of(provider, session, text(sender="MG" + "0a" * 16))
    assert form["MessagingServiceSid"] == "MG" + "0a" * 16
    assert "From" not in form


async def test_every_sign_of_a_text_arrives(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    signs = "".join(map(chr, range(1, 256))) + "%41+%zz é\u200b€😀 a  b\r\n"
    assert (await form_of(provider, session, text(signs)))["Body"] == signs


@pytest.mark.parametrize(
    ("valid_for", "seconds"),
    [
        (timedelta(milliseconds=3), "1"),
        (timedelta(seconds=-5), "1"),
        (timedelta(minutes=30), "1800"),
        (timedelta(days=2), "36000"),
        (None, None),
    ],
)
async def test_the_time_to_live_stays_within_what_twilio_takes(
    provider: ScriptedProvider,
    session: aiohttp.ClientSession,
    valid_for: timedelta | None,
    seconds: str | None,
) -> None:
    form = await form_of(provider, session, replace(text(), valid_for=valid_for))
    assert form.get("ValidityPeriod") == seconds


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (CREATED, Accepted(SID)),
        (json_reply(200, {"sid": SID}), Accepted(SID)),
        (Reply(status=201), Accepted(None)),
        (Reply(status=201, body=b'{"sid": "SM'), Accepted(None)),
        (Reply(status=201, body=b'{"sid": "S', fault="reset mid-body"), Accepted(None)),
        (json_reply(201, {"sid": None}), Accepted(None)),
        (json_reply(201, {"sid": "S M"}), Accepted(None)),
        (json_reply(201, {"sid": SID, "date_created": ["odd"]}), Accepted(SID)),
        (Reply(status=200), Unclear("twilio http 200 with an unreadable body")),
        (Reply(status=204), Unclear("twilio http 204 with an unreadable body")),
        (
            json_reply(429, {"code": 20429, "message": "Too Many Requests"}, Retry_After="3"),
            Deferred(Reason.THROTTLED, "twilio 20429", timedelta(seconds=3), sender_wide=True),
        ),
        (
            Reply(status=429, headers={"Retry-After": "3"}),
            Deferred(Reason.THROTTLED, "twilio http 429", timedelta(seconds=3), sender_wide=True),
        ),
        (
            json_reply(400, {"code": 29999, "message": "news"}),
            Rejected(Reason.CONTENT_REFUSED, "twilio 29999 (not in our table)"),
        ),
        (
            json_reply(401, {"code": 29999}),
            Deferred(Reason.ACCOUNT_PROBLEM, "twilio http 401", sender_wide=True),
        ),
        (
            json_reply(404, {"code": 20404}),
            Deferred(Reason.ACCOUNT_PROBLEM, "twilio http 404", sender_wide=True),
        ),
        (json_reply(400, {"code": True}), Rejected(Reason.CONTENT_REFUSED, "twilio http 400")),
        (json_reply(500, {"code": 21610}), Unclear("twilio http 500")),
        (json_reply(503, {"code": 20503}), Unclear("twilio http 503")),
        (
            json_reply(400, {"type": "t", "title": "t", "status": 400, "code": 21610}),
            Rejected(Reason.OPTED_OUT, "twilio 21610", suppress=True),
        ),
    ],
)
async def test_answers(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply, expected: object
) -> None:
    provider.answers(reply)
    assert await twilio(session, provider.base_url, 5).send(text()) == [expected]


async def test_concurrent_refusals_keep_their_own_waiting_times(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.script = lambda seen: Reply(
        status=429, headers={"Retry-After": parse_qs(seen.body.decode())["Body"][0]}
    )
    channel = twilio(session, provider.base_url, 5)
    waits = range(1, 40)
    answers = await asyncio.gather(*(channel.send(text(str(seconds))) for seconds in waits))
    for seconds, (result,) in zip(waits, answers, strict=True):
        assert isinstance(result, Deferred)
        assert result.retry_after == timedelta(seconds=seconds)


# --- the table, row by row ------------------------------------------------------------------------

LATER_ALL = {20429, 21611, 30001, 30022, 63017, 63018}
LATER = {14107: Reason.THROTTLED, 30017: Reason.UNREACHABLE_NOW, 30450: Reason.BLOCKED}
LATER |= {30003: Reason.UNREACHABLE_NOW, 30008: Reason.PROVIDER_ERROR, 30410: Reason.NO_RECEIPT}
NEVER = {21617: Reason.TOO_LONG, 30019: Reason.TOO_LONG, 30007: Reason.FILTERED}
NEVER |= dict.fromkeys((21620, 21656, 35114), Reason.CONTENT_REFUSED)
NEVER |= {21612: Reason.CANNOT_RECEIVE, 30004: Reason.BLOCKED}
SUPPRESS = {21610: Reason.OPTED_OUT, 21211: Reason.INVALID_ADDRESS}
SUPPRESS |= {21614: Reason.CANNOT_RECEIVE, 30006: Reason.CANNOT_RECEIVE}
SUPPRESS |= {30005: Reason.UNKNOWN_ADDRESS}
ACCOUNT = {20003, 10001, 30002, 21212, 21606, 21703, 21705, 21709, 30018, 30024, 30032, 30034}
ACCOUNT |= {30035, 30023, 30027, 63038}
ACCOUNT_HERE_ONLY = {21408, 21608}
WAITS = {14107: timedelta(seconds=30), 30450: timedelta(minutes=30)}


def expected_of(code: int) -> Deferred | Rejected:
    detail, wait = f"twilio {code}", WAITS.get(code)
    if code in LATER_ALL:
        return Deferred(Reason.THROTTLED, detail, wait, sender_wide=True)
    if code in LATER:
        return Deferred(LATER[code], detail, wait)
    if code in NEVER:
        return Rejected(NEVER[code], detail)
    if code in SUPPRESS:
        return Rejected(SUPPRESS[code], detail, suppress=True)
    return Deferred(Reason.ACCOUNT_PROBLEM, detail, wait, sender_wide=code in ACCOUNT)


def test_the_expectations_cover_the_table_and_nothing_else() -> None:
    expected = LATER_ALL | ACCOUNT | ACCOUNT_HERE_ONLY | {*LATER, *NEVER, *SUPPRESS}
    assert set(CODES) == expected


@pytest.mark.parametrize("code", sorted(CODES))
async def test_every_code_of_a_refused_request(
    provider: ScriptedProvider, session: aiohttp.ClientSession, code: int
) -> None:
    provider.answers(json_reply(400, {"code": code, "message": f"about {PHONE}", "status": 400}))
    assert await twilio(session, provider.base_url, 5).send(text()) == [expected_of(code)]


# --- look-ups -------------------------------------------------------------------------------------


def listed(body: str, *, age_s: float = 0, **fields: object) -> dict[str, object]:
    created = format_datetime(NOW - timedelta(seconds=age_s))
    return {"sid": SID, "status": "sent", "body": body, "date_created": created, **fields}


async def look_up(
    provider: ScriptedProvider, session: aiohttp.ClientSession, *messages: object
) -> object:
    page = {"messages": list(messages), "next_page_uri": "/next", "page_size": 50}
    provider.answers(json_reply(200, page))
    question = LookUp(address=PHONE, text="Hello", since=NOW, sender="+15550199")
    return await twilio(session, provider.base_url, 5).look_up(question)


async def test_a_look_up_asks_for_one_page_by_address_without_a_date(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    assert await look_up(provider, session) is None
    (seen,) = provider.seen
    assert dict(parse_qsl(urlsplit(seen.raw_path).query)) == {"To": PHONE, "PageSize": "50"}


@pytest.mark.parametrize("status", sorted(STATUSES))
async def test_a_message_found_tells_its_latest_fact(
    provider: ScriptedProvider, session: aiohttp.ClientSession, status: str
) -> None:
    found = await look_up(provider, session, listed("Hello", status=status))
    if status in {"failed", "canceled"}:
        assert found == Rejected(Reason.PROVIDER_ERROR, f"twilio {status}")
    else:
        assert found == Accepted(SID, STATUSES[status])


async def test_the_newest_match_counts_whatever_the_order(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    older = listed("Hello", age_s=20, status="failed")
    newer = listed("Hello", age_s=5, status="delivered")
    assert await look_up(provider, session, older, newer) == Accepted(SID, Fact.DELIVERED)


async def test_other_texts_and_older_messages_are_no_match(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    others = [listed("Hello!"), listed("Hello", age_s=60), listed("Hello", date_created=None)]
    assert await look_up(provider, session, *others) is None


async def test_whole_seconds_and_a_clock_apart_do_not_hide_a_message(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    assert await look_up(provider, session, listed("Hello", age_s=2)) == Accepted(SID, Fact.SENT)


async def test_a_message_that_failed_tells_why(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    found = await look_up(provider, session, listed("Hello", status="failed", error_code=21610))
    assert found == Rejected(Reason.OPTED_OUT, "twilio 21610", suppress=True)


@pytest.mark.parametrize(
    "reply", [Reply(status=500), Reply(status=429), Reply(status=408), Reply(fault="reset")]
)
async def test_a_look_up_without_an_answer_may_be_asked_again(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply
) -> None:
    provider.answers(reply)
    question = LookUp(address=PHONE, text="Hello", since=NOW, sender="+15550199")
    assert isinstance(await twilio(session, provider.base_url, 1).look_up(question), Unclear)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=302),
        Reply(status=403),
        Reply(status=200, body=b"<html>"),
        json_reply(200, {"other": 1, "things": 2}),
        json_reply(200, {"messages": 7}),
        json_reply(200, {"messages": ["x"]}),
        json_reply(200, {"messages": [{"date_created": "Mon, 99 Sep 2026 99:99:99 +0000"}]}),
        json_reply(200, {"messages": [{"date_created": [1], "body": "Hello"}]}),
    ],
)
async def test_a_look_up_that_cannot_say_says_nothing(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply
) -> None:
    provider.answers(reply)
    question = LookUp(address=PHONE, text="Hello", since=NOW, sender="+15550199")
    assert await twilio(session, provider.base_url, 1).look_up(question) is None
