"""A webhook leads out into the world, never inside: by whatever name, spelling or turn of the resolver."""

import asyncio
import gzip
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from dispatcher.clock import SystemClock
from dispatcher.config import WebhookSettings
from dispatcher.stages.webhooks.address import (
    ForbiddenAddressError,
    check_all,
    checked_url,
    is_allowed,
)
from dispatcher.stages.webhooks.outgoing import AttemptError, Outcome, outgoing, post
from tests.webhooks.receiver import Receiver, receiving

PUBLIC = WebhookSettings()
LAB = WebhookSettings(
    http_hosts=("127.0.0.1",), allow_networks=(ip_network("127.0.0.1/32"),), timeout_s=2
)
CLOCK = SystemClock()

INSIDE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",  # noqa: S104 - an address that must not be called
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.192",
    "168.63.129.16",
    "::ffff:168.63.129.16",
    "192.88.99.1",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
]
OUTSIDE = [
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_may_not_be_called(address: str) -> None:
    assert not is_allowed(ip_address(address), PUBLIC)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_world_may_be_called(address: str) -> None:
    assert is_allowed(ip_address(address), PUBLIC)


def test_one_address_inside_spoils_a_name_and_a_network_may_be_allowed() -> None:
    check_all(["1.1.1.1", "2606:4700:4700::1111"], PUBLIC)
    with pytest.raises(ForbiddenAddressError):
        check_all(["1.1.1.1", "10.1.0.5"], PUBLIC)
    lab = WebhookSettings(allow_networks=(ip_network("10.1.0.0/16"), ip_network("fd00:1::/64")))
    check_all(["1.1.1.1", "10.1.0.5", "::ffff:10.1.0.5", "fd00:1::7"], lab)
    with pytest.raises(ForbiddenAddressError):
        check_all(["10.2.0.5"], lab)


async def test_names_are_looked_up_apart_from_what_providers_and_the_database_need() -> None:
    """Names that nobody answers for take a thread each for half a minute; the shared ones are few."""
    loop, enough = asyncio.get_running_loop(), threading.Event()
    shared = ThreadPoolExecutor(max_workers=1)
    loop.set_default_executor(shared)
    held = loop.run_in_executor(None, enough.wait)
    try:
        async with receiving("localhost") as receiver:
            lab = LAB.model_copy(update={"http_hosts": ("localhost",)})
            outcome = await _post(lab, receiver.url)
            assert outcome.is_success
            assert not held.done()
            nowhere = receiver.url.replace("localhost", "nowhere.invalid")
            lab = LAB.model_copy(update={"http_hosts": ("nowhere.invalid",)})
            assert (await _post(lab, nowhere)).trouble is AttemptError.UNREACHABLE
    finally:
        enough.set()
        await held


EVIL = [
    "",
    "hooks.example.com/x",
    "ftp://hooks.example.com/",
    "ldap://hooks.example.com/",
    "gopher://127.0.0.1:6379/_x",
    "http://hooks.example.com/",
    "https://",
    "https:///x",
    "https://user@hooks.example.com/",
    "https://user:password@hooks.example.com/",
    "https://:password@hooks.example.com/",
    "https://hooks.example.com/#x",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:25/",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:99999/",
    "https://hooks.example.com/a b",
    "https://hooks.example.com/\r\nX: y",
    "https://hooks.example.com\\@127.0.0.1/",
    "https://hooks.example.com/" + "a" * 2000,
    "https://ex\u00e4mple.com/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1:8443/",
]


@pytest.mark.parametrize("url", EVIL)
def test_an_evil_address_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        checked_url(url, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/a/b?token=x%2Fy&z",
        "https://hooks.example.com:8443/",
        "https://1.1.1.1/",
        "https://[2606:4700:4700::1111]/x",
    ],
)
def test_an_ordinary_address_is_taken_letter_by_letter(url: str) -> None:
    assert str(checked_url(url, PUBLIC)).rstrip("/") == url.rstrip("/")


def test_http_is_for_hosts_that_the_operator_names() -> None:
    lab = WebhookSettings(http_hosts=("lab.example.com",))
    checked_url("http://lab.example.com/x", lab)
    with pytest.raises(ForbiddenAddressError):
        checked_url("http://other.example.com/x", lab)
    with pytest.raises(ForbiddenAddressError):
        checked_url("http://127.0.0.1/x", WebhookSettings(http_hosts=("127.0.0.1",)))


async def _post(settings: WebhookSettings, url: str) -> Outcome:
    async with outgoing(settings) as session:
        return await post(session, settings, url, body=b"{}", headers={}, clock=CLOCK)


# Each leads to this machine, where somebody listens and would answer 204.
SPELLINGS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::1]",
    "0",
]


async def test_no_spelling_of_this_machine_leads_to_it() -> None:
    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        hosts = tuple(host.strip("[]").lower() for host in SPELLINGS)
        settings = WebhookSettings(http_hosts=hosts, timeout_s=2)
        for host in SPELLINGS:
            outcome = await _post(settings, f"http://{host}:{port}/hook")
            assert not outcome.is_success, host
            assert outcome.status is None, host
        assert receiver.got == []
        assert (
            await _post(settings, f"http://localhost:{port}/")
        ).trouble is AttemptError.FORBIDDEN
        allowed = settings.model_copy(update={"allow_networks": (ip_network("127.0.0.0/8"),)})
        assert (await _post(allowed, f"http://127.0.0.1:{port}/hook")).is_success


async def test_the_socket_is_the_last_wall_for_what_no_resolver_sees(receiver: Receiver) -> None:
    async with outgoing(PUBLIC) as session:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]"):
            url = receiver.url.replace("127.0.0.1", host)
            with pytest.raises(ForbiddenAddressError):
                await session.post(url)
    assert receiver.got == []


class Names(AbstractResolver):
    """A resolver under the test's hand: each question takes the next answer."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the signature is aiohttp's
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=item, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for item in found
        ]

    async def close(self) -> None:
        pass


async def test_a_name_is_looked_at_anew_at_each_attempt_and_one_bad_address_is_enough(
    receiver: Receiver,
) -> None:
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    settings = WebhookSettings(
        http_hosts=("rebind.example",), allow_networks=(ip_network("127.0.0.1/32"),), timeout_s=2
    )
    # First where it may lead, then inside, then both: as a server of names that has been told to.
    names = Names(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"])
    url = f"http://rebind.example:{port}/hook"
    async with outgoing(settings, names) as session:
        outcomes = [
            await post(session, settings, url, body=b"{}", headers={}, clock=CLOCK)
            for _ in range(3)
        ]
    assert [item.trouble for item in outcomes] == ["", "forbidden", "forbidden"]
    assert names.asked == 3
    assert len(receiver.got) == 1


async def test_a_redirect_is_a_failure_and_nobody_follows_it(receiver: Receiver) -> None:
    for status in (301, 302, 303, 307, 308):
        receiver.answer(status, Location=receiver.url.replace("/hook", "/elsewhere"))
        outcome = await _post(LAB, receiver.url)
        assert (outcome.trouble, outcome.status) == (AttemptError.REDIRECT, status)
    assert {item.path for item in receiver.got} == {"/hook"}


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/hook"))
        assert (await _post(LAB, receiver.url)).is_success
        assert proxy.got == []


async def test_an_answer_is_read_a_little_and_shown_without_addresses(receiver: Receiver) -> None:
    receiver.answer(500, b"no such user jane.doe@example.com \x00\x1b[31m" + b"x" * 5_000_000)
    receiver.answer(200, b"\xff\xfe not text")
    bomb = gzip.compress(b"boom" * 5_000_000)
    receiver.answer(200, bomb, **{"Content-Encoding": "gzip"})
    first, second, third = [await _post(LAB, receiver.url) for _ in range(3)]
    assert first.trouble is AttemptError.STATUS
    assert first.excerpt.startswith("no such user [email]")
    assert len(first.excerpt) <= 200
    assert first.excerpt.isprintable()
    assert second.is_success
    assert third.is_success
    assert "boom" not in third.excerpt, "nothing is unpacked"


async def test_who_does_not_answer_is_left_after_a_while(receiver: Receiver) -> None:
    settings = LAB.model_copy(update={"timeout_s": 0.3})
    receiver.delay_s = 5
    assert (await _post(settings, receiver.url)).trouble is AttemptError.TIMEOUT
    nobody = "http://127.0.0.1:1024/"
    assert (await _post(LAB, nobody)).trouble is AttemptError.UNREACHABLE


async def test_who_does_not_speak_tls_or_http_is_named_so() -> None:
    async def babble(_reader: Any, writer: Any) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert (await _post(LAB, f"http://127.0.0.1:{port}/")).trouble is AttemptError.BROKEN
        assert (await _post(LAB, f"https://127.0.0.1:{port}/")).trouble is AttemptError.TLS
