"""What every adapter promises, whatever its provider does. Each adapter runs all of it."""

import asyncio
import copy
import logging
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from channels.model import (
    Accepted,
    Channel,
    Deferred,
    Message,
    Reason,
    Rejected,
    SendResult,
    Unclear,
)
from channels.registry import TALKATIVE_LOGGERS
from tests.certificates import server_context
from tests.channels.adapters import ADAPTERS, CANARIES, MAIL_ADDRESS, PHONE, Adapter, json_reply
from tests.channels.provider import Reply, ScriptedProvider, scripted_provider

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda one: one.name)

HTML = b"<html><body>canary ada@customer.example " + b"x" * 300 + b"</body></html>"
WEB_PAGE = {"Content-Type": "text/html"}


async def send(
    adapter: Adapter, session: aiohttp.ClientSession, base_url: str, timeout_s: float = 5
) -> SendResult:
    """The one result all recipients of the adapter's message share."""
    channel = adapter.build(session, base_url, timeout_s)
    results = await channel.send(adapter.message)
    assert len(results) == len(adapter.message.recipients)
    assert len(set(results)) == 1
    return results[0]


async def test_the_expected_answer_is_accepted(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(adapter.good)
    assert await send(adapter, session, provider.base_url) == adapter.good_result
    assert len(provider.seen) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"cut', b'{"errors": 7, "code": "x", "data": []}', b"\xff\xfe"]
)
@pytest.mark.parametrize("status", [200, 201, 202, 204, 302, 400, 403, 404, 422, 429, 500, 503])
async def test_no_body_makes_it_raise(
    adapter: Adapter,
    provider: ScriptedProvider,
    session: aiohttp.ClientSession,
    status: int,
    body: bytes,
) -> None:
    provider.answers(Reply(status=status, body=body, headers={"Content-Type": "application/json"}))
    result = await send(adapter, session, provider.base_url)
    assert_fits_status(status, result)


async def test_every_status_with_a_web_page_means_what_its_class_means(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    for status in range(200, 600):
        provider.answers(Reply(status=status, body=HTML, headers=WEB_PAGE))
        assert_fits_status(status, await send(adapter, session, provider.base_url))


def assert_fits_status(status: int, result: SendResult) -> None:
    match status:
        case _ if status < 300:
            assert isinstance(result, Accepted | Unclear)
        case 401 | 403:
            assert isinstance(result, Deferred)
            assert result.reason is Reason.ACCOUNT_PROBLEM
            assert result.sender_wide
        case 429:
            assert isinstance(result, Deferred)
            assert result.reason is Reason.THROTTLED
            assert result.sender_wide
        case 408 | 499:
            assert isinstance(result, Unclear)
        case _ if status < 500:
            assert isinstance(result, Deferred | Rejected)
        case _:
            assert isinstance(result, Unclear)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession, status: int
) -> None:
    provider.answers(Reply(status=status, headers={"Location": provider.base_url + "/elsewhere"}))
    result = await send(adapter, session, provider.base_url)
    assert isinstance(result, Deferred)
    assert result.sender_wide
    assert len(provider.seen) == 1


@pytest.mark.parametrize("fault", ["hang", "reset"])
async def test_silence_after_the_request_is_unclear(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession, fault: str
) -> None:
    provider.answers(Reply(fault="hang" if fault == "hang" else "reset"))
    assert isinstance(await send(adapter, session, provider.base_url, 0.3), Unclear)
    assert len(provider.seen) == 1, "a request that may have worked is never repeated"


@pytest.mark.parametrize("fault", ["hang mid-body", "reset mid-body"])
@pytest.mark.parametrize("status", [202, 201, 200, 400, 429, 500])
async def test_the_status_decides_when_the_body_is_cut_off(
    adapter: Adapter,
    provider: ScriptedProvider,
    session: aiohttp.ClientSession,
    status: int,
    fault: str,
) -> None:
    provider.answers(
        Reply(
            status=status,
            body=b'{"sid": "SM',
            headers={"Content-Type": "application/json"},
            fault="hang mid-body" if fault == "hang mid-body" else "reset mid-body",
        )
    )
    assert_fits_status(status, await send(adapter, session, provider.base_url, 0.3))


async def test_a_closed_port_means_nothing_was_sent(
    adapter: Adapter, session: aiohttp.ClientSession
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = await send(adapter, session, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert_down(result)


async def test_a_name_that_does_not_resolve_means_nothing_was_sent(adapter: Adapter) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
        assert_down(await send(adapter, session, "http://api.provider.example"))


async def test_a_failed_tls_handshake_means_nothing_was_sent(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    assert_down(await send(adapter, session, provider.base_url.replace("http:", "https:")))
    assert provider.seen == []


@pytest.mark.fault(26)
@pytest.mark.parametrize("days", [30, -1], ids=["valid", "expired"])
async def test_an_expired_certificate_means_nothing_was_sent(
    adapter: Adapter, tmp_path: Path, days: int
) -> None:
    context = server_context(tmp_path, ends_in=timedelta(days=days))
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with (
        scripted_provider(context) as provider,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        provider.answers(adapter.good)
        result = await send(adapter, session, provider.base_url)
        if days > 0:
            assert result == adapter.good_result
        else:
            assert_down(result)
            assert provider.seen == []


@pytest.mark.fault(25)
async def test_everything_else_goes_on_while_a_provider_hangs(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(Reply(fault="hang"))
    sending = asyncio.create_task(send(adapter, session, provider.base_url, 1.0))
    turns = [time.monotonic()]
    while not sending.done():
        await asyncio.sleep(0.01)
        turns.append(time.monotonic())
    assert isinstance(await sending, Unclear)
    # Who blocks the loop blocks it for the whole second; a busy machine holds it up for less.
    assert max(later - earlier for earlier, later in pairwise(turns)) < 0.5


async def test_a_host_that_takes_no_connection_means_nothing_was_sent(
    adapter: Adapter, session: aiohttp.ClientSession
) -> None:
    with full_backlog() as base_url:
        assert_down(await send(adapter, session, base_url, 0.4))


def assert_down(result: SendResult) -> None:
    assert isinstance(result, Deferred)
    assert result.reason is Reason.PROVIDER_DOWN
    assert result.sender_wide


class NoNames(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise OSError(f"no such name: {host}, {port}, {family}")

    async def close(self) -> None:
        pass


@contextmanager
def full_backlog() -> Iterator[str]:
    """A listening socket whose queue of connections is full: the next ones get no answer."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 -- its signature
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def pinned_loggers() -> Iterator[None]:
    """As the running product pins them; everything else speaks at DEBUG."""
    before = {name: logging.getLogger(name).level for name in TALKATIVE_LOGGERS}
    for name in before:
        logging.getLogger(name).setLevel(logging.WARNING)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


GOSSIP = {
    "message": f"The 'To' number {PHONE} / {MAIL_ADDRESS} canary is not valid",
    "detail": f"{PHONE} {MAIL_ADDRESS} canary",
    "title": MAIL_ADDRESS,
    "code": 21211,
    "errors": [{"field": f"personalizations.0.to {MAIL_ADDRESS}", "message": "canary"}],
    "sid": PHONE,
    "data": {"id": PHONE},
}


@pytest.mark.usefixtures("pinned_loggers")
async def test_no_secret_and_no_address_in_any_detail_or_log(
    adapter: Adapter,
    provider: ScriptedProvider,
    session: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = adapter.build(session, provider.base_url, 0.3)
    replies = [json_reply(status, GOSSIP) for status in (200, 201, 202, 400, 403, 404, 429, 500)]
    replies += [adapter.good, Reply(status=418, body=HTML, headers=WEB_PAGE)]
    replies += [Reply(fault="hang"), Reply(fault="reset")]
    results: list[SendResult] = []
    for reply in replies:
        provider.answers(reply)
        results += await channel.send(adapter.message)
    said = repr(results) + repr(channel) + repr(adapter.message.parts.keys()) + caplog.text
    assert [canary for canary in CANARIES if canary in said] == []


async def test_a_message_is_left_as_it_was(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    before = copy.deepcopy(adapter.message)
    provider.answers(adapter.good)
    await send(adapter, session, provider.base_url)
    assert adapter.message == before


async def test_the_same_message_makes_the_same_request(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(adapter.good)
    for _ in range(2):
        await send(adapter, session, provider.base_url)
    first, second = provider.seen
    assert (first.method, first.raw_path, first.body) == (
        second.method,
        second.raw_path,
        second.body,
    )


async def test_cancelling_is_not_swallowed(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(Reply(fault="hang"))
    channel = adapter.build(session, provider.base_url, 5)
    sending = asyncio.ensure_future(channel.send(adapter.message))
    await provider.arrived.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_a_huge_answer_is_not_read_to_its_end(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    provider.answers(Reply(status=500, body=b"x" * (8 * 1024 * 1024)))
    assert isinstance(await send(adapter, session, provider.base_url), Unclear)


async def test_closing_leaves_the_shared_session_open(
    adapter: Adapter, session: aiohttp.ClientSession
) -> None:
    channel: Channel = adapter.build(session, "http://127.0.0.1:9", 1)
    await channel.close()
    assert not session.closed


async def test_many_at_once_get_their_own_answers(
    adapter: Adapter, provider: ScriptedProvider, session: aiohttp.ClientSession
) -> None:
    """Every second request is refused; no answer may reach another caller."""
    provider.script = lambda seen: Reply(status=429) if b"refuse" in seen.body else adapter.good
    channel = adapter.build(session, provider.base_url, 5)
    messages = [adapter.message if index % 2 else refused(adapter) for index in range(60)]
    answers: Sequence[Sequence[SendResult]] = await asyncio.gather(
        *(channel.send(message) for message in messages)
    )
    for index, results in enumerate(answers):
        assert isinstance(results[0], Accepted if index % 2 else Deferred)


def refused(adapter: Adapter) -> Message:
    parts = {name: part + " refuse" for name, part in adapter.message.parts.items()}
    return replace(adapter.message, parts=parts)
