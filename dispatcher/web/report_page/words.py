"""Numbers, spans and moments as an account manager reads them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from dispatcher.stages.report.model import Why
from templates.times import stamp, there

CHANNELS: Final = {"email": "E-mail", "sms": "Text", "social": "Social", "banner": "Banner"}
STATUSES: Final = {
    "queued": "waiting to leave",
    "sending": "leaving now",
    "accepted": "sent, no proof yet",
    "delivered": "delivered",
    "displayed": "seen in the product",
    "posted": "posted",
    "retrying": "being tried again",
    "failed": "not delivered",
    "expired": "too old to send",
    "suppressed": "not sent",
    "unreachable": "not sent",
    "cancelled": "cancelled",
    "superseded": "replaced by a newer update",
    "unconfirmed": "unclear whether it left",
}
FACTS: Final = {
    "queued": "taken by the provider",
    "sent": "on its way",
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "a link in it was opened",
    "deferred": "the receiver asked to wait",
    "undelivered": "not delivered",
    "bounced_soft": "returned for now",
    "bounced_hard": "returned for good",
    "dropped": "refused by the provider",
    "complained": "marked as spam",
    "unsubscribed": "unsubscribed",
    "displayed": "shown on their screen",
    "dismissed": "closed by the reader",
    "posted": "posted",
}
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


class Moment(NamedTuple):
    """`text` in UTC, `there` in the reader's place where that differs, `iso` for machines."""

    text: str
    there: str
    iso: str


def moment(at: datetime, *, on: datetime | None = None, zone: str = "UTC") -> Moment:
    """A moment to the second; the day is left out where it is the day of `on`."""
    utc = at.astimezone(UTC)
    clock = f"{utc:%H:%M:%S} UTC"
    if on is None or utc.date() != on.astimezone(UTC).date():
        clock += stamp(utc, zone="UTC").removeprefix(f"{utc:%H:%M} UTC")
    return Moment(clock, there(utc.isoformat(), zone).strip(), utc.isoformat())


def number(value: int) -> str:
    """`1,666`."""
    return f"{value:,}"


def counted(value: int, one: str, many: str) -> str:
    """`1 person`, `1,666 people`."""
    return f"{value:,} {one if value == 1 else many}"


def size(count: int) -> str:
    """`12 kB`, `3.4 MB`."""
    kilo = 1000
    if count < kilo:
        return f"{count} bytes"
    return f"{count / kilo:.0f} kB" if count < kilo**2 else f"{count / kilo**2:.1f} MB"


def status(channel: str, word: str) -> str:
    """What became of a message. A banner is not sent: it waits until its reader comes."""
    if channel == "banner" and word == "accepted":
        return "waits in the product, not seen yet"
    return STATUSES[word]


def percent(part: int, whole: int) -> str:
    """`95%`; never 100 % while somebody is missing, never 0 % while somebody is not."""
    if not whole:
        return "0%"
    share = 100 * part / whole
    if 0 < share < 1:
        return "under 1%"
    if part < whole and round(share) == 100:  # noqa: PLR2004 - all of it
        return "over 99%"
    return f"{round(share)}%"


def span(seconds: float) -> str:
    """`less than a second`, `9 s`, `2 min 10 s`, `1 h 5 min`, `2 days 3 h`: the two largest units."""
    whole = round(seconds)
    if whole < 1:
        return "less than a second"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "day" if whole < 2 * _DAY else "days", _HOUR, "h")


def _two(whole: int, large: int, large_word: str, small: int, small_word: str) -> str:
    first, rest = divmod(whole, large)
    second = rest // small
    return f"{first} {large_word} {second} {small_word}" if second else f"{first} {large_word}"


def tried(whys: Iterable[Why]) -> list[tuple[str, str, str]]:
    """Why each way to a person failed: channels with the same reason together, text, advice."""
    channels: dict[tuple[str, str], list[str]] = {}
    for why in whys:
        channels.setdefault((why.text, why.advice), []).append(CHANNELS[why.channel])
    return [(", ".join(names), *said) for said, names in channels.items()]
