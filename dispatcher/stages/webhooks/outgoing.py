"""One message over HTTP: to an address that was looked at, once, and no further than a moment."""

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from channels.transport import retry_after
from dispatcher.clock import Clock
from dispatcher.config import WebhookSettings
from dispatcher.log import masked_text
from dispatcher.stages.webhooks.address import (
    ForbiddenAddressError,
    check_address,
    check_all,
    checked_url,
)
from dispatcher.stages.webhooks.names import OwnThreads

READ_AT_MOST: Final = 4096
EXCERPT: Final = 200
RECEIVE_BUFFER: Final = 8192


class AttemptError(StrEnum):
    """Why an attempt failed, in one word."""

    NONE = ""
    STATUS = "status"
    REDIRECT = "redirect"
    GONE = "gone"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    BROKEN = "broken"
    FORBIDDEN = "forbidden"
    UNREADABLE = "unreadable"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt; `status` None without an answer. `excerpt`: its beginning, masked.

    `retry_after`: how long a receiver that failed asks us to wait.
    """

    trouble: AttemptError
    status: int | None
    ms: int
    excerpt: str = ""
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver has it."""
        return self.trouble is AttemptError.NONE


class _Guarded(AbstractResolver):
    """Finds addresses as everybody does, and lets none through that may not be called."""

    def __init__(self, settings: WebhookSettings, names: AbstractResolver) -> None:
        self._settings = settings
        self._inner = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        check_all([item["host"] for item in found], self._settings)
        return found

    async def close(self) -> None:
        await self._inner.close()


@asynccontextmanager
async def outgoing(
    settings: WebhookSettings, names: AbstractResolver | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that connects to nothing inside. Nothing is kept: each attempt is looked at anew.

    `names`: who knows the addresses of names; the system, unless given.
    """

    def connect_only_where_allowed(info: tuple[Any, ...]) -> socket.socket:
        # An address that stands in the URL itself meets no resolver. This is the last look: the
        # socket made here is the one that is connected, to this address.
        family, kind, proto, _, address = info
        check_address(address[0], settings)
        made = socket.socket(family, kind, proto)
        # Who floods us is read in small bites, so that customers' messages have their turn in between.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return made

    connector = aiohttp.TCPConnector(
        resolver=_Guarded(settings, names or OwnThreads()),
        use_dns_cache=False,
        force_close=True,
        socket_factory=connect_only_where_allowed,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
        trust_env=False,
        auto_decompress=False,
        requote_redirect_url=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    ) as session:
        yield session


async def post(
    session: aiohttp.ClientSession,
    settings: WebhookSettings,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    clock: Clock,
) -> Outcome:
    """Send once. Whatever happens is an outcome."""
    began = clock.monotonic()

    def outcome(
        trouble: AttemptError,
        status: int | None = None,
        excerpt: str = "",
        wait: timedelta | None = None,
    ) -> Outcome:
        return Outcome(trouble, status, round((clock.monotonic() - began) * 1000), excerpt, wait)

    try:
        async with session.post(
            checked_url(url, settings), data=body, headers=headers, allow_redirects=False
        ) as answer:
            excerpt = await _beginning(answer)
            trouble = _judged(answer.status)
            wait = retry_after(answer.headers) if trouble is AttemptError.STATUS else None
            return outcome(trouble, answer.status, excerpt, wait)
    except ForbiddenAddressError:
        return outcome(AttemptError.FORBIDDEN)
    except TimeoutError:
        return outcome(AttemptError.TIMEOUT)
    except (ssl.SSLError, aiohttp.ClientSSLError):
        return outcome(AttemptError.TLS)
    except aiohttp.ClientConnectorError:
        return outcome(AttemptError.UNREACHABLE)
    except (aiohttp.ClientError, OSError, ValueError):
        # A receiver may answer anything at all.
        return outcome(AttemptError.BROKEN)


def _judged(status: int) -> AttemptError:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return AttemptError.NONE
    if status == HTTPStatus.GONE:
        return AttemptError.GONE
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return AttemptError.REDIRECT
    return AttemptError.STATUS


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    """The first characters of an answer, for people; its status counts, however it ends."""
    read = b""
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async for piece in answer.content.iter_any():
            read += piece[: READ_AT_MOST - len(read)]
            if len(read) >= READ_AT_MOST:
                break
    text = masked_text(read.decode("utf-8", "replace"))
    return "".join(letter if letter.isprintable() else " " for letter in text[:EXCERPT])
