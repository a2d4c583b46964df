"""The sandbox answers as the providers' official descriptions say."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from openapi_core import Config, OpenAPI

from dispatcher.sandbox import RunningSandbox, SandboxSettings, start
from dispatcher.sandbox.twilio.text import Text
from tests.contract.checker import SPECS, Request, Response

OAUTH = 'OAuth oauth_consumer_key="sandbox", oauth_token="1-sandbox"'
MAIL: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "anna@example.com"}], "custom_args": {"tidings": "k"}}],
    "from": {"email": "status@example.com"},
    "subject": "Checkout is slow",
    "content": [{"type": "text/plain", "value": "We are on it."}],
}


@dataclass(frozen=True)
class Answer:
    """One answer of the sandbox."""

    status_code: int
    content_type: str
    headers: Mapping[str, str]
    data: bytes

    @property
    def response(self) -> Response:
        kind = self.content_type if self.data else ""
        return Response(self.status_code, kind, self.headers, self.data)

    @property
    def json(self) -> Any:
        return orjson.loads(self.data)


class Described:
    """The answers of one official description."""

    def __init__(self, folder: Path, provider: str) -> None:
        document = orjson.loads((folder / "specs" / SPECS[provider]).read_bytes())
        document["servers"] = [{"url": "/"}]
        for item in document["paths"].values():
            item.pop("servers", None)
        if document["openapi"].startswith("3.1"):
            _allow_null(document)
        readers: dict[str, Callable[[bytes], Any]] = {"application/problem+json": orjson.loads}
        self._api = OpenAPI.from_dict(
            document, config=Config(extra_media_type_deserializers=readers)
        )

    def differences(self, method: str, path: str, response: Response) -> list[str]:
        asked = Request(method, "http://provider" + path, {}, b"")
        return [_reason(error) for error in self._api.iter_response_errors(asked, response)]


@lru_cache
def described(folder: Path, provider: str) -> Described:
    """Read once per run."""
    return Described(folder, provider)


def _allow_null(node: Any) -> None:
    """SendGrid's description says `nullable`, a word that OpenAPI 3.1 no longer knows."""
    if isinstance(node, list):
        for one in node:
            _allow_null(one)
    elif isinstance(node, dict):
        for one in node.values():
            _allow_null(one)
        if node.get("nullable") is True and isinstance(node.get("type"), str):
            node["type"] = [node["type"], "null"]


def _reason(error: BaseException) -> str:
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return f"{error}: {inner} {[str(one) for one in getattr(inner, 'schema_errors', ())]}"


class Provider:
    """One provider of a sandbox beside its official description."""

    def __init__(self, session: aiohttp.ClientSession, base: str, described: Described) -> None:
        self._session, self._base, self._described = session, base, described

    async def ask(self, method: str, path: str, **options: Any) -> tuple[Answer, list[str]]:
        """The answer, and in what it differs from the description."""
        async with self._session.request(method, self._base + path, **options) as reply:
            answer = Answer(reply.status, reply.content_type, reply.headers, await reply.read())
        return answer, self._described.differences(method, path, answer.response)


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    sandbox = await start(
        SandboxSettings(port=0, latency=0, latency_jitter=0, receipts_after=(0, 0), bounced=0)
    )
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def sendgrid(sandbox: RunningSandbox, session: aiohttp.ClientSession, contract: Path) -> Provider:
    return Provider(session, sandbox.sendgrid_url, described(contract, "sendgrid"))


@pytest.fixture
def twilio(sandbox: RunningSandbox, session: aiohttp.ClientSession, contract: Path) -> Provider:
    return Provider(session, sandbox.twilio_url, described(contract, "twilio"))


@pytest.fixture
def x(sandbox: RunningSandbox, session: aiohttp.ClientSession, contract: Path) -> Provider:
    return Provider(session, sandbox.x_url, described(contract, "x"))


KEY = {"Authorization": "Bearer SG.sandbox"}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": MAIL, "headers": KEY}, 202),
        ({"json": {**MAIL, "from": {}}, "headers": KEY}, 400),
        ({"data": b"{", "headers": KEY}, 400),
        ({"json": MAIL}, 401),
    ],
)
async def test_answers_to_a_mail_are_as_described(
    sendgrid: Provider, options: dict[str, Any], status: int
) -> None:
    answer, differences = await sendgrid.ask("POST", "/v3/mail/send", **options)
    assert (answer.status_code, differences) == (status, [])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 500])
async def test_every_described_refusal_of_a_mail_can_be_provoked(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, sendgrid: Provider, status: int
) -> None:
    fault = {"provider": "sendgrid", "kind": "status", "status": status}
    async with session.post(f"{sandbox.url}/sandbox/faults", json=fault) as switched:
        assert switched.status == 201
    answer, differences = await sendgrid.ask("POST", "/v3/mail/send", json=MAIL, headers=KEY)
    assert (answer.status_code, differences) == (status, [])


async def test_texts_are_answered_as_described_through_their_whole_life(
    sandbox: RunningSandbox, twilio: Provider
) -> None:
    account = sandbox.settings.twilio_account_sid
    headers = {"Authorization": aiohttp.encode_basic_auth(account, "sandbox")}
    base = f"/2010-04-01/Accounts/{account}/Messages"
    text = {"To": "+12125550199", "From": "+15005550006", "Body": "Checkout is slow."}
    service = {**text, "MessagingServiceSid": "MG" + "a" * 32}
    del service["From"]
    for form, status in ((text, "queued"), (service, "accepted")):
        answer, differences = await twilio.ask("POST", f"{base}.json", data=form, headers=headers)
        assert (answer.status_code, answer.json["status"], differences) == (201, status, [])
    await sandbox.settled()
    answer, differences = await twilio.ask(
        "GET", f"{base}.json?PageSize=1&To=%2B12125550199", headers=headers
    )
    assert (answer.status_code, answer.json["next_page_uri"] is None, differences) == (
        200,
        False,
        [],
    )
    sid = answer.json["messages"][0]["sid"]
    answer, differences = await twilio.ask("GET", f"{base}/{sid}.json", headers=headers)
    assert (answer.json["error_code"], differences) == (30005, [])
    answer, differences = await twilio.ask(
        "POST", f"{base}/{sid}.json", data={"Body": ""}, headers=headers
    )
    assert (answer.json["body"], differences) == ("", [])
    answer, differences = await twilio.ask("DELETE", f"{base}/{sid}.json", headers=headers)
    assert (answer.status_code, differences) == (204, [])


def test_a_text_has_every_described_field_and_no_other(
    sandbox: RunningSandbox, contract: Path
) -> None:
    document = orjson.loads((contract / "specs" / SPECS["twilio"]).read_bytes())
    described = document["components"]["schemas"]["api.v2010.account.message"]["properties"]
    text = Text(
        sid="SM" + "a" * 32,
        account=sandbox.settings.twilio_account_sid,
        to="+12125550101",
        sender="+15005550006",
        service=None,
        body="x",
        segments=1,
        callback="",
        created=0,
        updated=0,
        status="queued",
    )
    assert text.resource().keys() == described.keys()


async def test_posts_are_answered_as_described_through_their_whole_life(x: Provider) -> None:
    headers = {"Authorization": OAUTH}
    post = {"text": "Checkout is slow. https://status.example.com/i/42"}
    answer, differences = await x.ask("POST", "/2/tweets", json=post, headers=headers)
    assert (answer.status_code, differences) == (201, [])
    number = answer.json["data"]["id"]
    fields = "tweet.fields=entities,created_at,author_id,conversation_id"
    answer, differences = await x.ask("GET", f"/2/users/1/tweets?{fields}", headers=headers)
    assert (len(answer.json["data"]), differences) == (1, [])
    answer, differences = await x.ask("GET", "/2/users/me", headers=headers)
    assert (answer.json["data"]["id"], differences) == ("1", [])
    answer, differences = await x.ask("DELETE", f"/2/tweets/{number}", headers=headers)
    assert (answer.json["data"]["deleted"], differences) == (True, [])
    answer, differences = await x.ask("GET", "/2/users/1/tweets", headers=headers)
    assert (answer.json["meta"], differences) == ({"result_count": 0}, [])


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/2/tweets", {"json": {"txt": "x"}}, 400),
        ("DELETE", "/2/tweets/7", {}, 404),
        ("GET", "/2/users/2/tweets", {}, 404),
    ],
)
async def test_typed_problems_of_x_are_as_described(
    x: Provider, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer, differences = await x.ask(method, path, headers={"Authorization": OAUTH}, **options)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert differences == []


async def test_a_repeated_post_is_refused_in_the_live_form_which_is_not_described(
    x: Provider,
) -> None:
    # The live API labels this body plain JSON, for which its description knows another shape.
    headers = {"Authorization": OAUTH}
    await x.ask("POST", "/2/tweets", json={"text": "x"}, headers=headers)
    answer, _ = await x.ask("POST", "/2/tweets", json={"text": "x"}, headers=headers)
    assert answer.json == {
        "detail": "You are not allowed to create a Tweet with duplicate content.",
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
    }


async def test_a_wrong_answer_would_be_noticed(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, twilio: Provider
) -> None:
    fault = {"provider": "twilio", "kind": "truncated_body"}
    async with session.post(f"{sandbox.url}/sandbox/faults", json=fault) as switched:
        assert switched.status == 201
    account = sandbox.settings.twilio_account_sid
    headers = {"Authorization": aiohttp.encode_basic_auth(account, "sandbox")}
    text = {"To": "+12125550101", "From": "+15005550006", "Body": "x"}
    _, differences = await twilio.ask(
        "POST", f"/2010-04-01/Accounts/{account}/Messages.json", data=text, headers=headers
    )
    assert differences
