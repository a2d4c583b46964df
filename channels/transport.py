"""One exchange with a provider, and what its failure means for the message.

Shared by all adapters, so that "was it sent?" is decided in one place: nothing sent -> Deferred or
Rejected, perhaps sent -> Unclear. Details name a provider, a status or an error class, never more:
texts of answers and exceptions hold addresses.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus

import aiohttp
import orjson
from yarl import URL

from channels.model import Deferred, Reason, Rejected, SendResult, Unclear

# A page of fifty messages is about 60 kB; more than this is not an answer worth reading.
MAX_BODY_BYTES = 2 * 1024 * 1024
LONGEST_WAIT = timedelta(days=1)
# Eleven digits of seconds reach the year 5138; longer is nonsense that datetime would refuse.
_DIGITS = re.compile(r"[0-9]{1,11}")

TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
# Raised before the first byte of the request leaves: name, TCP and TLS failures among them.
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

_SUCCESSES, _REDIRECTS, _REFUSALS = range(200, 300), range(300, 400), range(400, 500)
# Credentials, payment, sender rights, or a base URL that is not the provider's: a person must look.
_ACCOUNT_STATUSES = frozenset({401, 402, 403, 404, 405, 407, 410})
# The server gave up waiting for us, or says it may have acted: no proof that nothing went out.
_UNSURE_STATUSES = frozenset({408, 499})


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer. `complete` is False where the connection ended inside the body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return self.status in _SUCCESSES

    def json_object(self) -> dict[str, object] | None:
        """The body as a JSON object, None when it is anything else."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, dict) else None


class RefusedError(Exception):
    """A status other than 2xx, thrown through an SDK because the SDK would lose its headers."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"http {answer.status}")
        self.answer = answer


class UnreadableError(Exception):
    """A 2xx answer whose body is not the JSON object it should be."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"http {answer.status} with an unreadable body")
        self.answer = answer


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str],
    data: bytes | None,
    timeout_s: float,
) -> Answer:
    """Send one request and read one answer of any status; raises only TRANSPORT_ERRORS.

    Redirects are not followed: they would carry the credentials to a host nobody configured.
    """
    async with session.request(
        method, url, headers=headers, data=data, timeout=_limits(timeout_s), allow_redirects=False
    ) as response:
        body = bytearray()
        # Once there is a status line it decides; a body cut off only costs the explanation.
        with suppress(*TRANSPORT_ERRORS):
            while room := MAX_BODY_BYTES - len(body):
                chunk = await response.content.read(room)
                if not chunk:
                    return Answer(response.status, response.headers, bytes(body))
                body += chunk
        return Answer(response.status, response.headers, bytes(body), complete=False)


@lru_cache
def _limits(timeout_s: float) -> aiohttp.ClientTimeout:
    # Half for connecting, so that a time-out before the request left can be told from one after.
    return aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2)


@lru_cache(maxsize=64)
def rebase(url: str | URL, base_url: str) -> URL:
    """`url` with scheme, host and path prefix of `base_url`; for SDKs without that setting."""
    return URL(base_url + URL(str(url), encoded=True).raw_path_qs, encoded=True)


def from_error(provider: str, error: BaseException) -> Deferred | Unclear:
    """What one of TRANSPORT_ERRORS means: only a connection never made proves nothing was sent."""
    detail = f"{provider} {type(error).__name__}"
    if isinstance(error, _NEVER_CONNECTED):
        return Deferred(Reason.PROVIDER_DOWN, detail, sender_wide=True)
    return Unclear(detail)


def unanswered(provider: str, error: BaseException) -> Unclear | None:
    """What a look-up means that failed: Unclear where asking again may help, None where it will not.

    `error` is a RefusedError, an UnreadableError or one of TRANSPORT_ERRORS.
    """
    if isinstance(error, TRANSPORT_ERRORS):
        return Unclear(f"{provider} {type(error).__name__}")
    if not isinstance(error, RefusedError):
        return None
    meant = from_status(provider, error.answer)
    if isinstance(meant, Deferred) and meant.reason is Reason.THROTTLED:
        return Unclear(meant.detail)
    return meant if isinstance(meant, Unclear) else None


def from_status(provider: str, answer: Answer) -> SendResult:
    """What a status means by itself, where the provider's body says nothing more exact."""
    status = answer.status
    detail = f"{provider} http {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Deferred(Reason.THROTTLED, detail, retry_after(answer.headers), sender_wide=True)
    if status in _ACCOUNT_STATUSES or status in _REDIRECTS:
        return Deferred(Reason.ACCOUNT_PROBLEM, detail, sender_wide=True)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Rejected(Reason.TOO_LONG, detail)
    if status in _REFUSALS and status not in _UNSURE_STATUSES:
        return Rejected(Reason.CONTENT_REFUSED, detail)
    return Unclear(detail)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the provider asks us to wait, within [1 s, 1 day]; None when it does not say.

    A reset time is compared with the answer's own Date, so no clock of ours and no skew matters.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked:
        seconds = _whole(asked)
        return _within(seconds) if seconds is not None else _until(_moment(asked), headers)
    for name in ("X-RateLimit-Reset", "x-rate-limit-reset"):
        reset = _whole(headers.get(name, "").strip())
        if reset is not None:
            return _until(datetime.fromtimestamp(reset, UTC), headers)
    return None


def _until(moment: datetime | None, headers: Mapping[str, str]) -> timedelta | None:
    answered = _moment(headers.get("Date", ""))
    if moment is None or answered is None:
        return None
    return _within((moment - answered).total_seconds())


def _within(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 1.0), LONGEST_WAIT.total_seconds()))


def _whole(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
