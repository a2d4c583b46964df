"""One text message and the place where the latest ones are kept."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from dispatcher.sandbox.ledger import Acceptance, Entry

API_VERSION: Final = "2010-04-01"
WAITING: Final = frozenset({"accepted", "queued", "scheduled"})
ENDED: Final = frozenset({"delivered", "undelivered", "failed", "canceled"})


@dataclass(slots=True, kw_only=True)
class Text:
    """A message resource. Times are POSIX seconds; `callback` is the StatusCallback as given."""

    sid: str
    account: str
    to: str
    sender: str | None
    service: str | None
    body: str
    segments: int
    callback: str
    created: float
    updated: float
    status: str
    sent: float | None = None
    error: int | None = None

    def become(self, status: str, error: int | None, now: float) -> None:
        """Move to the next status."""
        self.status, self.error, self.updated = status, error, now
        if status == "sent":
            self.sent = now

    def resource(self) -> dict[str, Any]:
        """The JSON of the API, every field of the official document."""
        uri = f"/{API_VERSION}/Accounts/{self.account}/Messages/{self.sid}"
        return {
            "account_sid": self.account,
            "api_version": API_VERSION,
            "body": self.body,
            "date_created": rfc_2822(self.created),
            "date_sent": rfc_2822(self.sent) if self.sent is not None else None,
            "date_updated": rfc_2822(self.updated),
            "direction": "outbound-api",
            "error_code": self.error,
            "error_message": None,
            "from": self.sender,
            "messaging_service_sid": self.service,
            "num_media": "0",
            # A Messaging Service counts only once it has picked the sender.
            "num_segments": "0" if self.service else str(self.segments),
            "price": None,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": self.to,
            "uri": f"{uri}.json",
        }

    def entry(self, acceptance: Acceptance, index: int) -> Entry:
        return Entry(
            seq=acceptance.first + index,
            provider=acceptance.provider,
            key=acceptance.keys[index],
            request_id=acceptance.request_id,
            at=acceptance.at,
            provider_ref=self.sid,
            sender=self.sender or self.service or "",
            to=self.to,
            text=self.body,
            state=self.status,
            segments=self.segments,
            extra={"error": str(self.error)} if self.error else {},
        )


def rfc_2822(at: float) -> str:
    """Twilio's dates, in whole seconds."""
    return _second(int(at))


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))


class TextStore:
    """The latest `limit` texts, by id and by number."""

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, 1)
        self._texts: dict[str, Text] = {}
        self._by_number: dict[str, deque[Text]] = {}

    def add(self, text: Text) -> None:
        self._texts[text.sid] = text
        self._by_number.setdefault(text.to, deque()).append(text)
        if len(self._texts) > self._limit:
            self._forget(next(iter(self._texts.values())))

    def get(self, sid: str) -> Text | None:
        return self._texts.get(sid)

    def remove(self, sid: str) -> bool:
        text = self._texts.get(sid)
        if text is not None:
            self._forget(text)
        return text is not None

    def clear(self) -> None:
        self._texts.clear()
        self._by_number.clear()

    def find(self, filters: Mapping[str, str], start: int, size: int) -> list[Text]:
        """Newest first; one more than `size` tells that another page exists.

        `filters`: To, From, DateSent, DateSent<, DateSent> as in the API. ValueError: not a date.
        """
        times = {name: _day(value) for name, value in filters.items() if "DateSent" in name}
        to = filters.get("To")
        source = self._by_number.get(to, ()) if to else self._texts.values()
        matching = (text for text in reversed(source) if _matches(text, filters.get("From"), times))
        return list(islice(matching, start, start + size + 1))

    def _forget(self, text: Text) -> None:
        del self._texts[text.sid]
        same_number = self._by_number[text.to]
        same_number.remove(text)
        if not same_number:
            del self._by_number[text.to]

    def __iter__(self) -> Iterator[Text]:
        return iter(self._texts.values())


def _day(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _matches(text: Text, sender: str | None, times: Mapping[str, datetime]) -> bool:
    """A text not yet sent has no DateSent and matches no filter on it."""
    if sender and text.sender != sender:
        return False
    if not times:
        return True
    if text.sent is None:
        return False
    sent = datetime.fromtimestamp(text.sent, UTC)
    checks = {
        "DateSent": lambda day: sent.date() == day.date(),
        "DateSent<": lambda day: sent <= day,
        "DateSent>": lambda day: sent >= day,
    }
    return all(checks[name](day) for name, day in times.items())
