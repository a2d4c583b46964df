"""The Messages resource."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.twilio.callbacks import Callbacks
from dispatcher.sandbox.twilio.fates import EXPIRED, Fate, Turn, fate_of
from dispatcher.sandbox.twilio.refusals import ERRORS, LONGEST_WAIT, refusal
from dispatcher.sandbox.twilio.segments import segments
from dispatcher.sandbox.twilio.text import API_VERSION, WAITING, Text, TextStore
from dispatcher.sandbox.world import Asked, Reply, World

KEY_QUERY: Final = "d"
"""The parameter of the StatusCallback that identifies a delivery."""
REQUEST_QUERY: Final = "rq"

_STOP_WORDS = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
_START_WORDS = {"START", "YES", "UNSTOP"}
_CODES_BY_STATUS: Final[Mapping[int, int]] = {401: 20003, 404: 20404, 429: 20429, 503: 20503}
_FILTERS: Final = ("To", "From", "DateSent", "DateSent<", "DateSent>")
_LARGEST_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class TextReceipts:
    """The callbacks of one accepted text; `queued`: seconds it stands in its sender's queue."""

    callbacks: Callbacks
    text: Text
    fate: Fate
    queued: float

    def later(self) -> None:
        self.callbacks.later(self.text, self.fate, self.queued)

    async def now(self) -> None:
        await self.callbacks.now(self.text, self.fate)


class Twilio:
    """Accepts texts, answers look-ups, remembers who said STOP."""

    def __init__(self, world: World, callbacks: Callbacks) -> None:
        settings = world.settings
        self._world = world
        self._callbacks = callbacks
        self._account = settings.twilio_account_sid
        secret = f"{self._account}:{settings.twilio_auth_token.get_secret_value()}"
        self._authorization = b"Basic " + b64encode(secret.encode())
        self._texts = TextStore(settings.kept * 20)
        self._free_at: dict[str, float] = {}
        self._opted_out: set[tuple[str, str]] = set()

    def reset(self) -> None:
        self._texts.clear()
        self._free_at.clear()
        self._opted_out.clear()

    def refuse(self, status: int, retry_after: float | None) -> Reply:
        headers = {"Retry-After": f"{retry_after:g}"} if retry_after is not None else {}
        return Reply(status, _error(_CODES_BY_STATUS.get(status, 20500), status), headers)

    def send(self, asked: Asked) -> Reply:
        """201 with the resource, or the error's code."""
        if refused := self._unauthorised(asked):
            return refused
        most = self._world.settings.twilio_concurrency
        if most is not None and asked.in_flight > most:
            return self.refuse(429, None)
        form = _form(asked.body)
        code = refusal(form) or self._refused_by_state(form)
        return _refused(code) if code else self._accept(form)

    def find(self, asked: Asked) -> Reply:
        """A page of the list, newest first."""
        if refused := self._unauthorised(asked):
            return refused
        filters = {name: asked.query[name] for name in _FILTERS if asked.query.get(name)}
        try:
            page = max(0, int(asked.query.get("Page", 0)))
            size = min(max(1, int(asked.query.get("PageSize", 50))), _LARGEST_PAGE)
            found = self._texts.find(filters, page * size, size)
        except ValueError:
            return _refused(20001)
        return Reply(200, orjson.dumps(self._page(found, filters, page, size)))

    def fetch(self, asked: Asked) -> Reply:
        if refused := self._unauthorised(asked):
            return refused
        text = self._texts.get(asked.params["sid"])
        return _resource(200, text) if text else _refused(20404)

    def change(self, asked: Asked) -> Reply:
        """Cancel a waiting text, or blank the body of a sent one."""
        if refused := self._unauthorised(asked):
            return refused
        text = self._texts.get(asked.params["sid"])
        if text is None:
            return _refused(20404)
        form = _form(asked.body)
        if form.get("Status") == "canceled":
            if text.status not in WAITING:
                return _refused(30409)
            text.become("canceled", None, self._world.clock())
        elif form.get("Body") == "":
            text.body = ""
        else:
            return _refused(20001)
        return _resource(200, text)

    def delete(self, asked: Asked) -> Reply:
        if refused := self._unauthorised(asked):
            return refused
        return Reply(204) if self._texts.remove(asked.params["sid"]) else _refused(20404)

    async def receive(self, person: str, number: str, body: str) -> int | None:
        """A person texts `number`: STOP and START count at once, then the product is told."""
        word = body.strip().upper()
        if word in _STOP_WORDS:
            self._opted_out.add((number, person))
        elif word in _START_WORDS:
            self._opted_out.discard((number, person))
        sid = "SM" + self._world.ids.hex()
        form = {
            "AccountSid": self._account,
            "ApiVersion": API_VERSION,
            "Body": body,
            "From": person,
            "MessageSid": sid,
            "NumMedia": "0",
            "NumSegments": str(segments(body)),
            "SmsMessageSid": sid,
            "SmsSid": sid,
            "SmsStatus": "received",
            "To": number,
        }
        return await self._callbacks.inbound(form)

    def _unauthorised(self, asked: Asked) -> Reply | None:
        given = asked.headers.get("Authorization", "").encode()
        if not compare_digest(given, self._authorization):
            return self.refuse(401, None)
        return None if asked.params["account"] == self._account else _refused(20404)

    def _refused_by_state(self, form: Mapping[str, str]) -> int | None:
        sender = form.get("From") or form["MessagingServiceSid"]
        if (sender, form["To"]) in self._opted_out:
            return 21610
        return 21611 if self._wait(sender) > LONGEST_WAIT else None

    def _wait(self, sender: str) -> float:
        """Seconds until the sender's queue is empty."""
        return max(0.0, self._free_at.get(sender, 0.0) - self._world.clock())

    def _accept(self, form: Mapping[str, str]) -> Reply:
        now = self._world.clock()
        service = form.get("MessagingServiceSid")
        callback = form.get("StatusCallback", "")
        text = Text(
            sid="SM" + self._world.ids.hex(),
            account=self._account,
            to=form["To"],
            sender=form.get("From"),
            service=service,
            body=form["Body"],
            segments=segments(form["Body"]),
            callback=callback,
            created=now,
            updated=now,
            status="accepted" if service else "queued",
        )
        self._texts.add(text)
        query = dict(parse_qsl(urlsplit(callback).query))
        self._world.ledger.record(
            {
                "provider": Provider.TWILIO,
                "at": now,
                "rq": query.get(REQUEST_QUERY, ""),
                "ref": text.sid,
                "keys": [query.get(KEY_QUERY) or text.to],
            },
            text,
        )
        receipts = self._receipts(text, int(form.get("ValidityPeriod", LONGEST_WAIT)))
        return Reply(201, orjson.dumps(text.resource()), receipts=receipts)

    def _receipts(self, text: Text, valid: int) -> TextReceipts:
        settings = self._world.settings
        sender = text.sender or text.service or ""
        wait = self._wait(sender)
        if wait > valid:
            expired = (Turn("failed", 0, EXPIRED),)
            return TextReceipts(self._callbacks, text, expired, valid)
        if rate := settings.twilio_segments_per_second:
            self._free_at[sender] = self._world.clock() + wait + text.segments / rate
        fate = fate_of(
            text.to,
            self._world.chance.draws(text.to),
            bounced=settings.bounced,
            deferred=settings.deferred,
        )
        return TextReceipts(self._callbacks, text, fate, wait)

    def _page(
        self, found: list[Text], filters: Mapping[str, str], page: int, size: int
    ) -> dict[str, object]:
        base = f"/{API_VERSION}/Accounts/{self._account}/Messages.json?"

        def uri(number: int) -> str:
            return base + urlencode({**filters, "PageSize": size, "Page": number})

        start = page * size
        return {
            "end": start + min(len(found), size) - 1 if found else start,
            "first_page_uri": uri(0),
            "messages": [text.resource() for text in found[:size]],
            "next_page_uri": uri(page + 1) if len(found) > size else None,
            "page": page,
            "page_size": size,
            "previous_page_uri": uri(page - 1) if page else None,
            "start": start,
            "uri": uri(page),
        }


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _resource(status: int, text: Text) -> Reply:
    return Reply(status, orjson.dumps(text.resource()))


def _refused(code: int) -> Reply:
    status = ERRORS[code][0]
    return Reply(status, _error(code, status))


def _error(code: int, status: int) -> bytes:
    return orjson.dumps(
        {
            "code": code,
            "message": ERRORS[code][1],
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }
    )
