"""SendGrid's Event Webhook: a signed JSON array of events, many deliveries mixed.

Verified over the raw bytes; parsed with every field optional, since SendGrid leaves some out of
asynchronous bounces and adds others without notice. No time window: it retries for a day with the
old timestamp, and receipts are idempotent facts anyway.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import orjson
from sendgrid import EventWebhook

from channels.model import Fact, ForgedReceiptError, MalformedReceiptError, Reason, Receipt

_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
_MAX_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one event says. `suppress`: stop using the address; `lift`: an opt-out was undone."""

    fact: Fact
    reason: Reason | None = None
    suppress: bool = False
    lift: bool = False


EVENTS: Mapping[str, Meaning] = {
    "processed": Meaning(Fact.QUEUED),
    "deferred": Meaning(Fact.DEFERRED, Reason.UNREACHABLE_NOW),
    "delivered": Meaning(Fact.DELIVERED),
    "open": Meaning(Fact.OPENED),
    "click": Meaning(Fact.CLICKED),
    "spamreport": Meaning(Fact.COMPLAINED, Reason.COMPLAINED, suppress=True),
    "unsubscribe": Meaning(Fact.UNSUBSCRIBED, Reason.OPTED_OUT, suppress=True),
    "group_unsubscribe": Meaning(Fact.UNSUBSCRIBED, Reason.OPTED_OUT, suppress=True),
    "group_resubscribe": Meaning(Fact.UNSUBSCRIBED, lift=True),
}

# `type` of a bounce. Blocked is final for this mail but says nothing about the address.
BOUNCES: Mapping[str, Meaning] = {
    "bounce": Meaning(Fact.BOUNCED_HARD, Reason.UNKNOWN_ADDRESS, suppress=True),
    "blocked": Meaning(Fact.UNDELIVERED, Reason.BLOCKED),
}
_BOUNCE_WITHOUT_TYPE = Meaning(Fact.BOUNCED_HARD, Reason.UNKNOWN_ADDRESS)

# `reason` of a drop: SendGrid accepted the mail, then did not even try.
DROPS: Mapping[str, Meaning] = {
    "bounced address": Meaning(Fact.DROPPED, Reason.UNKNOWN_ADDRESS, suppress=True),
    "unsubscribed address": Meaning(Fact.DROPPED, Reason.OPTED_OUT, suppress=True),
    "spam reporting address": Meaning(Fact.DROPPED, Reason.COMPLAINED, suppress=True),
    "invalid": Meaning(Fact.DROPPED, Reason.INVALID_ADDRESS, suppress=True),
    "spam content": Meaning(Fact.DROPPED, Reason.FILTERED),
    "invalid smtpapi header": Meaning(Fact.DROPPED, Reason.CONTENT_REFUSED),
    "recipient list over package quota": Meaning(Fact.DROPPED, Reason.ACCOUNT_PROBLEM),
}
_UNKNOWN_DROP = Meaning(Fact.DROPPED, Reason.CONTENT_REFUSED)

# `reason` and `response` quote the receiving server, addresses included: only these fields, and
# only in these shapes, may reach a detail.
_SHAPES: Mapping[str, re.Pattern[str]] = {
    "status": re.compile(r"[245]\.\d{1,3}\.\d{1,3}"),
    "type": re.compile(r"bounce|blocked"),
    "bounce_classification": re.compile(r"[A-Za-z /-]{1,40}"),
}
_SPECIAL = frozenset({*_SHAPES, "reason", "sg_machine_open"})
_KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")
_MESSAGE_ID = re.compile(r"([\w-]{1,200})(?:\.|\Z)", re.ASCII)


class EventReader:
    """Verifies with any of the given keys (two while one is being replaced), then parses."""

    def __init__(self, public_keys: Sequence[str]) -> None:
        self._verifiers = [EventWebhook(key) for key in public_keys]

    def read(self, headers: Mapping[str, str], body: bytes, now: datetime) -> list[Receipt]:
        """Receipts for events that carry our key; raises the two receipt errors only."""
        lowered = {name.lower(): value for name, value in headers.items()}
        signature, timestamp = lowered.get(_SIGNATURE), lowered.get(_TIMESTAMP)
        if not signature or not timestamp:
            raise MalformedReceiptError("no signature or timestamp header")
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise MalformedReceiptError("the body is not UTF-8") from None
        if not any(_is_signed(one, text, signature, timestamp) for one in self._verifiers):
            raise ForgedReceiptError("the signature fits none of the configured keys")
        return _receipts(body, now)


def _is_signed(verifier: EventWebhook, text: str, signature: str, timestamp: str) -> bool:
    try:
        return verifier.verify_signature(text, signature, timestamp) is True
    except Exception:  # noqa: BLE001 -- it raises whatever base64 and OpenSSL raise; none is a proof
        return False


def _receipts(body: bytes, now: datetime) -> list[Receipt]:
    try:
        events = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedReceiptError("the body is not JSON") from None
    if not isinstance(events, list) or len(events) > _MAX_EVENTS:
        raise MalformedReceiptError(f"the body is not an array of up to {_MAX_EVENTS} events")
    receipts = (_receipt(event, now) for event in events)
    return [receipt for receipt in receipts if receipt is not None]


def _receipt(event: object, now: datetime) -> Receipt | None:
    if not isinstance(event, dict):
        raise MalformedReceiptError("an event is not an object")
    name, key = event.get("event", ""), event.get("tidings", "")
    if not (isinstance(name, str) and isinstance(key, str)):
        raise MalformedReceiptError("event or tidings is not text")
    meaning = EVENTS.get(name) or _meaning(event)
    if meaning is None or not _KEY.fullmatch(key):
        return None
    found = _MESSAGE_ID.match(_text(event, "sg_message_id"))
    # In their order: by name they take twice as long, and there are very many.
    return Receipt(
        key,
        meaning.fact,
        _at(event, now),
        found[1] if found else "",
        _detail(event, name),
        meaning.reason,
        meaning.suppress,
        meaning.lift,
    )


def _meaning(event: Mapping[str, object]) -> Meaning | None:
    match _text(event, "event"):
        case "bounce":
            return BOUNCES.get(_text(event, "type"), _BOUNCE_WITHOUT_TYPE)
        case "dropped":
            return DROPS.get(_text(event, "reason").strip().lower(), _UNKNOWN_DROP)
        case _:
            return None


def _detail(event: Mapping[str, object], name: str) -> str:
    # Most events say nothing but what they are.
    if _SPECIAL.isdisjoint(event):
        return name
    words = [name]
    words += [
        value
        for name, shape in _SHAPES.items()
        if name in event and shape.fullmatch(value := _text(event, name))
    ]
    if "reason" in event and (reason := _text(event, "reason").strip().lower()) in DROPS:
        words.append(reason)
    if event.get("sg_machine_open") is True:
        words.append("machine")
    return " ".join(words)


def _at(event: Mapping[str, object], now: datetime) -> datetime:
    seconds = event.get("timestamp")
    if seconds is None:
        return now
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise MalformedReceiptError("timestamp is not a whole number")
    try:
        return _moment(seconds)
    except (OverflowError, OSError, ValueError):
        raise MalformedReceiptError("timestamp is out of range") from None


# The events of a callback are of the same few seconds.
@lru_cache(maxsize=1024)
def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _text(event: Mapping[str, object], name: str) -> str:
    """The field as text, empty where it is absent or something else."""
    value = event.get(name)
    return value if isinstance(value, str) else ""
