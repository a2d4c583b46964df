"""Texts through Twilio's SDK, on our own HTTP client.

The SDK's own asynchronous client is not used: it never times out, mixes up answers without its
pool, repeats POSTs after a 5xx when asked to retry, and drops the headers of refusals.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import aiohttp
import orjson
from twilio.base.exceptions import TwilioException
from twilio.http.response import Response
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance
from yarl import URL

from channels.model import (
    Accepted,
    ChannelKind,
    Fact,
    LookUp,
    Message,
    Reason,
    Receipt,
    Rejected,
    SendResult,
    Unclear,
)
from channels.settings import TwilioSettings
from channels.transport import (
    TRANSPORT_ERRORS,
    Answer,
    RefusedError,
    UnreadableError,
    exchange,
    from_error,
    from_status,
    rebase,
    retry_after,
    unanswered,
)
from channels.twilio_callbacks import CALLBACK_PATH, CallbackReader
from channels.twilio_codes import CODES, STATUSES, Then, explain, refusal

_PROVIDER = "twilio"
_LONGEST_VALIDITY_S = 36_000
_LOOK_UP_LIMIT = 50
# Their clock stamps whole seconds and is not ours; an earlier attempt found by mistake still shows
# that the person has this text.
_CLOCK_SKEW = timedelta(seconds=30)
_SID = re.compile(r"[A-Za-z0-9]{2,64}")
_MESSAGING_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_UNSENT_STATUSES = frozenset({"failed", "canceled"})


class TwilioChannel:
    """Sends texts, reads callbacks and inbound texts, and can ask what became of a message."""

    kind: Final = ChannelKind.SMS
    provider: Final = _PROVIDER
    batch_limit: Final = 1
    atomic_batches: Final = True

    def __init__(
        self, settings: TwilioSettings, *, session: aiohttp.ClientSession, public_url: str
    ) -> None:
        if settings.account_sid is None or settings.auth_token is None:
            raise ValueError("twilio.account_sid and twilio.auth_token are missing")
        token = settings.auth_token.get_secret_value()
        tokens = [token]
        if settings.previous_auth_token is not None:
            tokens.append(settings.previous_auth_token.get_secret_value())
        self._client = Client(
            settings.account_sid,
            token,
            http_client=_HttpClient(session, settings.base_url, settings.timeout_s),
        )
        self._messages = self._client.messages
        self._callback_url = public_url + CALLBACK_PATH
        self._callbacks = CallbackReader(settings.account_sid, tokens, public_url)

    async def send(self, message: Message) -> Sequence[SendResult]:
        """One text to the one recipient."""
        try:
            created = await self._messages.create_async(**self._fields(message))
        except RefusedError as refused:
            return [_refused(refused.answer)]
        except UnreadableError as unreadable:
            return [_unreadable(unreadable.answer)]
        except TRANSPORT_ERRORS as error:
            return [from_error(_PROVIDER, error)]
        return [Accepted(created.sid)]

    def _fields(self, message: Message) -> dict[str, object]:
        (recipient,) = message.recipients
        pool = _MESSAGING_SERVICE.fullmatch(message.sender)
        fields: dict[str, object] = {
            "to": recipient.address,
            ("messaging_service_sid" if pool else "from_"): message.sender,
            "body": message.parts["text"],
            # The key returns with every callback, even when this call's answer is lost. The
            # fragment stays with Twilio: three retries, on any failure, not only of connecting.
            "status_callback": f"{self._callback_url}?d={recipient.key}#rc=3&rp=all",
            # Our own texts are GSM-7 where they can be; theirs must not differ from what we store.
            "smart_encoded": False,
        }
        if message.valid_for is not None:
            seconds = int(message.valid_for.total_seconds())
            fields["validity_period"] = min(max(seconds, 1), _LONGEST_VALIDITY_S)
        return fields

    async def look_up(self, question: LookUp) -> Accepted | Rejected | Unclear | None:
        """The newest message to this address with this body, created at `since` or later.

        Listed without a date filter: that one goes by date sent, which queued messages lack.
        """
        try:
            page = await self._messages.page_async(to=question.address, page_size=_LOOK_UP_LIMIT)
            candidates = [found for found in page if found.body == question.text]
        except (RefusedError, UnreadableError, *TRANSPORT_ERRORS) as error:
            return unanswered(_PROVIDER, error)
        except (TwilioException, ValueError, TypeError, AttributeError):
            return None  # the SDK's parser met a shape it does not know
        earliest = question.since - _CLOCK_SKEW
        recent = [one for one in candidates if one.date_created and one.date_created >= earliest]
        newest = max(recent, key=lambda one: one.date_created, default=None)
        return _found(newest) if newest is not None else None

    def receipts(
        self, *, raw_path: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[Receipt]:
        """Verified status callbacks and inbound texts, see `channels.twilio_callbacks`."""
        return self._callbacks.read(raw_path, headers, body, now)

    async def close(self) -> None:
        """Nothing to let go of: the session belongs to its maker."""


def _refused(answer: Answer) -> SendResult:
    by_status = from_status(_PROVIDER, answer)
    code = (answer.json_object() or {}).get("code")
    if type(code) is not int or isinstance(by_status, Unclear):
        return by_status  # after a 5xx no code proves that the text was not sent
    if code in CODES or isinstance(by_status, Rejected):
        return refusal(code, retry_after(answer.headers))
    return by_status


def _unreadable(answer: Answer) -> Accepted | Unclear:
    if answer.status == HTTPStatus.CREATED:
        return Accepted(None)
    return Unclear(f"twilio http {answer.status} with an unreadable body")


def _found(message: MessageInstance) -> Accepted | Rejected:
    fact = STATUSES.get(message.status, Fact.QUEUED)
    if message.status not in _UNSENT_STATUSES:
        return Accepted(message.sid, fact)
    if message.error_code is None:
        return Rejected(Reason.PROVIDER_ERROR, f"twilio {message.status}")
    row, detail = explain(message.error_code)
    return Rejected(row.reason, detail, suppress=row.then is Then.NEVER_AGAIN)


class _HttpClient:
    """What the SDK asks of a client, on the shared session: our base URL, time-out and errors."""

    is_async = True

    def __init__(self, session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> None:
        self._session = session
        self._base_url = base_url
        self._timeout_s = timeout_s

    async def request(  # noqa: PLR0913 -- the SDK's signature
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, object] | None,
        data: Mapping[str, object] | None,
        headers: Mapping[str, str],
        auth: tuple[str, str],
        timeout: float | None,  # noqa: ASYNC109 -- the SDK's signature
        allow_redirects: bool,
    ) -> Response:
        """One exchange; RefusedError and UnreadableError pass through the SDK untouched."""
        del timeout, allow_redirects  # the SDK's defaults: none, and no
        target = rebase(url, self._base_url)
        answer = await exchange(
            self._session,
            method,
            target.extend_query(_given(params)) if params else target,
            headers={**headers, "Authorization": aiohttp.encode_basic_auth(*auth)},
            data=_form(_given(data)) if data else None,
            timeout_s=self._timeout_s,
        )
        if not answer.ok:
            raise RefusedError(answer)
        return Response(answer.status, _body_for_sdk(method, answer), answer.headers)


def _given(fields: Mapping[str, object] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (fields or {}).items() if value is not None}


def _form(fields: Mapping[str, str]) -> bytes:
    # As urlencode would, in a tenth of its time.
    return URL.build(query=fields).raw_query_string.encode()


def _body_for_sdk(method: str, answer: Answer) -> str:
    body = answer.json_object()
    if body is None:
        raise UnreadableError(answer)
    if method == "POST":
        # The SDK's parser raises on odd dates, after the text was sent: it gets the sid alone.
        sid = body.get("sid")
        if not isinstance(sid, str) or not _SID.fullmatch(sid):
            raise UnreadableError(answer)
        return orjson.dumps({"sid": sid}).decode()
    return orjson.dumps(body).decode()
