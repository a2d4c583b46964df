"""What our adapters send is what the official documents allow, captured on the way."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import orjson
import pytest

from channels.model import AnswersLookUps, LookUp, Message
from tests.channels.adapters import (
    ADAPTERS,
    PHONE,
    SENDGRID,
    TWILIO,
    Adapter,
    X,
    json_reply,
    mail,
    text,
)
from tests.channels.provider import Reply, ScriptedProvider, Seen
from tests.contract.checker import Checker, Request, Response

NOW = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)


def as_request(seen: Seen) -> Request:
    return Request(seen.method, "http://127.0.0.1" + seen.raw_path, seen.headers, seen.body)


MESSAGES = [
    *((adapter, adapter.message) for adapter in ADAPTERS),
    (SENDGRID, mail(1000)),
    (SENDGRID, replace(mail(), reply_to=None, valid_for=None)),
    (TWILIO, text(sender="MG" + "0a" * 16)),
    (TWILIO, replace(text(), valid_for=None)),
]


@pytest.mark.parametrize(("adapter", "message"), MESSAGES)
async def test_a_sent_message_is_a_request_of_the_official_document(
    contract: Path,
    provider: ScriptedProvider,
    session: aiohttp.ClientSession,
    adapter: Adapter,
    message: Message,
) -> None:
    provider.answers(adapter.good)
    sent = replace(adapter, message=message)
    await sent.build(session, provider.base_url, 5).send(sent.message)
    (seen,) = provider.seen
    assert Checker(contract, adapter.name).request_problems(as_request(seen)) == []


@pytest.mark.parametrize("adapter", [TWILIO, X], ids=lambda one: one.name)
async def test_a_look_up_is_a_request_of_the_official_document(
    contract: Path, provider: ScriptedProvider, session: aiohttp.ClientSession, adapter: Adapter
) -> None:
    provider.answers(json_reply(200, {}))
    channel = adapter.build(session, provider.base_url, 5)
    assert isinstance(channel, AnswersLookUps)
    await channel.look_up(LookUp(address=PHONE, text="t", since=NOW, sender="s"))
    (seen,) = provider.seen
    assert Checker(contract, adapter.name).request_problems(as_request(seen)) == []


async def test_the_check_can_fail(
    contract: Path, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    """One recipient too many and a sender left out are both found, by name."""
    provider.answers(Reply(status=202))
    await SENDGRID.build(session, provider.base_url, 5).send(mail(1001))
    (seen,) = provider.seen
    checker = Checker(contract, "sendgrid")
    assert "too long" in str(checker.request_problems(as_request(seen)))
    without = {name: value for name, value in orjson.loads(seen.body).items() if name != "from"}
    nameless = as_request(replace(seen, body=orjson.dumps(without)))
    assert "'from' is a required property" in str(checker.request_problems(nameless))


def test_answers_are_checked_too(contract: Path) -> None:
    checker = Checker(contract, "x")
    request = Request(
        "POST",
        "http://127.0.0.1/2/tweets",
        {"Content-Type": "application/json", "Authorization": "OAuth x"},
        b'{"text":"t"}',
    )
    good = Response(
        201, "application/json", {}, b'{"data":{"id":"1346889436626259968","text":"t"}}'
    )
    bad = Response(201, "application/json", {}, b'{"data":{"id":17}}')
    assert checker.response_problems(request, good) == []
    assert checker.response_problems(request, bad) != []
