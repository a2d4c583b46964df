"""Posts: signed requests, duplicates looked up before they are judged, our own posts found again."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

import aiohttp
import orjson
import pytest

from channels.model import Accepted, Deferred, Fact, LookUp, Reason, Rejected, SendResult, Unclear
from tests.channels.adapters import json_reply, post, x
from tests.channels.provider import Reply, ScriptedProvider, Seen

NOW = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
POSTED = json_reply(201, {"data": {"id": "99", "text": "t"}})
DUPLICATE = json_reply(
    403,
    {
        "detail": "You are not allowed to create a Tweet with duplicate content.",
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
    },
)
TEXT = "API errors & delays, more: https://status.example.com/i/1"
OURS = {
    "id": "42",
    "text": "API errors &amp; delays, more: https://t.co/abc",
    "entities": {
        "urls": [{"url": "https://t.co/abc", "expanded_url": "https://status.example.com/i/1"}]
    },
}


async def send(
    provider: ScriptedProvider, session: aiohttp.ClientSession, *replies: Reply, text: str = TEXT
) -> SendResult:
    provider.answers(*replies)
    (result,) = await x(session, provider.base_url, 1).send(post(text))
    return result


async def test_a_post_is_public_as_soon_as_it_is_taken(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    assert await send(provider, session, POSTED) == Accepted("99", Fact.POSTED)
    (seen,) = provider.seen
    assert (seen.method, seen.raw_path) == ("POST", "/2/tweets")
    assert orjson.loads(seen.body) == {"text": TEXT}


async def test_requests_are_signed_for_the_real_host_whatever_the_base_url(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    await send(provider, session, POSTED)
    await x(session, provider.base_url, 1).look_up(
        LookUp(address="@example", text="t", since=NOW, sender="@example")
    )
    assert [seen.method for seen in provider.seen] == ["POST", "GET"]
    for seen in provider.seen:
        given = authorization(seen)
        assert given.pop("oauth_signature") == signature(seen, given)


def authorization(seen: Seen) -> dict[str, str]:
    parts = seen.headers["Authorization"].removeprefix("OAuth ").split(", ")
    pairs = (part.split("=", 1) for part in parts)
    return {name: unquote(value.strip('"')) for name, value in pairs}


def signature(seen: Seen, given: dict[str, str]) -> str:
    """RFC 5849 section 3.4 by hand, for the host X knows and the secrets the adapter was given."""
    url = urlsplit(seen.raw_path)
    pairs = sorted(
        (quote(name, safe="-._~"), quote(value, safe="-._~"))
        for name, value in [*given.items(), *parse_qsl(url.query)]
    )
    parameters = "&".join(f"{name}={value}" for name, value in pairs)
    base = "&".join(
        quote(part, safe="-._~")
        for part in (seen.method, "https://api.twitter.com" + url.path, parameters)
    )
    digest = hmac.new(b"canary-cs&canary-ats", base.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (json_reply(200, {"data": {"id": "7"}}), Accepted("7", Fact.POSTED)),
        (json_reply(201, {"data": {}}), Unclear("x answered without the id of the post")),
        (json_reply(201, {"data": {"id": 7}}), Unclear("x answered without the id of the post")),
        (
            Reply(status=201, body=b"<html>"),
            Unclear("x http 201 with an unreadable body"),
        ),
        (
            json_reply(429, {"detail": "Too Many Requests"}),
            Deferred(Reason.THROTTLED, "x http 429", sender_wide=True),
        ),
        (
            Reply(
                status=429,
                body=b"<html>",
                headers={
                    "x-rate-limit-reset": str(int(NOW.timestamp()) + 600),
                    "Date": format_datetime(NOW, usegmt=True),
                },
            ),
            Deferred(Reason.THROTTLED, "x http 429", timedelta(minutes=10), sender_wide=True),
        ),
        (
            json_reply(403, {"detail": "You are not permitted to perform this action."}),
            Deferred(Reason.ACCOUNT_PROBLEM, "x http 403", sender_wide=True),
        ),
        (
            json_reply(401, {"title": "Unauthorized"}),
            Deferred(Reason.ACCOUNT_PROBLEM, "x http 401", sender_wide=True),
        ),
        (json_reply(400, {"errors": []}), Rejected(Reason.CONTENT_REFUSED, "x http 400")),
        (json_reply(422, {}), Rejected(Reason.CONTENT_REFUSED, "x http 422")),
        (Reply(status=503, body=b"<html>"), Unclear("x http 503")),
        (json_reply(500, {"detail": "duplicate content"}), Unclear("x http 500")),
    ],
)
async def test_answers(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply, expected: object
) -> None:
    assert await send(provider, session, reply) == expected
    assert len(provider.seen) == 1


async def test_a_post_that_is_too_long_is_refused_without_asking(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    result = await send(provider, session, POSTED, text="x" * 281)
    assert result == Rejected(Reason.TOO_LONG, "x: more than 280 weighted characters")
    assert provider.seen == []


async def test_a_duplicate_found_in_our_timeline_was_sent_before(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    timeline = json_reply(200, {"data": [{"id": "41", "text": "another"}, OURS]})
    assert await send(provider, session, DUPLICATE, timeline) == Accepted("42", Fact.POSTED)
    asked = urlsplit(provider.seen[1].raw_path)
    assert asked.path == "/2/users/12345/tweets"
    assert parse_qs(asked.query) == {
        "max_results": ["100"],
        "tweet.fields": ["created_at,entities"],
    }


async def test_a_duplicate_that_is_nowhere_is_refused(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    result = await send(provider, session, DUPLICATE, json_reply(200, {"meta": {}}))
    assert isinstance(result, Rejected)
    assert result.reason is Reason.DUPLICATE_POST


@pytest.mark.parametrize("timeline", [Reply(status=500), Reply(status=429), Reply(fault="reset")])
async def test_a_duplicate_whose_timeline_cannot_be_read_stays_unclear(
    provider: ScriptedProvider, session: aiohttp.ClientSession, timeline: Reply
) -> None:
    assert isinstance(await send(provider, session, DUPLICATE, timeline), Unclear)


# --- look-ups -------------------------------------------------------------------------------------


async def look_up(
    provider: ScriptedProvider, session: aiohttp.ClientSession, text: str, reply: Reply
) -> object:
    provider.answers(reply)
    question = LookUp(address="@example", text=text, since=NOW, sender="@example")
    return await x(session, provider.base_url, 1).look_up(question)


async def test_a_look_up_begins_half_a_minute_early(
    provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    assert await look_up(provider, session, TEXT, json_reply(200, {"data": [OURS]})) == Accepted(
        "42", Fact.POSTED
    )
    asked = parse_qs(urlsplit(provider.seen[0].raw_path).query)
    assert asked["start_time"] == ["2026-09-21T11:59:30Z"]


@pytest.mark.parametrize(
    ("sent", "shown", "expanded"),
    [
        ("see status.example.com", "see https://t.co/a", "http://status.example.com"),
        ("see https://status.example.com", "see https://t.co/a", "https://status.example.com/"),
        ("a < b > c & d", "a &lt; b &gt; c &amp; d", ""),
        ("two\n\nparts ", "two\n\nparts", ""),
        ("cafe\u0301", "caf\u00e9", ""),
    ],
)
async def test_a_text_is_recognised_as_x_shows_it(
    provider: ScriptedProvider,
    session: aiohttp.ClientSession,
    sent: str,
    shown: str,
    expanded: str,
) -> None:
    found = {
        "id": "5",
        "text": shown,
        "entities": {"urls": [{"url": "https://t.co/a", "expanded_url": expanded}]},
    }
    answer = await look_up(provider, session, sent, json_reply(200, {"data": [found]}))
    assert answer == Accepted("5", Fact.POSTED)


@pytest.mark.parametrize(
    "reply",
    [
        json_reply(200, {"data": [{"id": "1", "text": "API errors & delays"}]}),
        json_reply(200, {"data": [{"id": None, "text": TEXT}, {"text": TEXT}, 7]}),
        json_reply(200, {"data": 7}),
        json_reply(200, {"data": [{**OURS, "entities": 7}]}),
        json_reply(200, {"data": [{**OURS, "entities": {"urls": [7, {"url": ""}, {}]}}]}),
        Reply(status=200, body=b"<html>"),
        Reply(status=404),
    ],
)
async def test_a_look_up_without_a_match_says_nothing(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply
) -> None:
    assert await look_up(provider, session, TEXT, reply) is None


@pytest.mark.parametrize("reply", [Reply(fault="hang"), Reply(status=429), Reply(status=503)])
async def test_a_look_up_without_an_answer_may_be_asked_again(
    provider: ScriptedProvider, session: aiohttp.ClientSession, reply: Reply
) -> None:
    assert isinstance(await look_up(provider, session, TEXT, reply), Unclear)
