"""What becomes of a mail, by address: the magic ones from a table, the rest by chance.

A magic word counts when the local part is that word or begins with it followed by anything but a
letter: `bounce@`, `bounce7@`, `bounce.anna@`; not `bouncer@`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dispatcher.sandbox.chance import Draws

LONG: Final = 10.0
"""A long wait, in lengths of the ordinary one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event.

    `when` is its time on a scale on which 0 is the first and 1 the last moment of an ordinary
    receipt. `bare`: lacks the fields that asynchronous bounces lack.
    """

    event: str
    when: float
    extra: Mapping[str, object] = field(default_factory=dict)
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """The events of one mail in order; `suppressed`: why later mails to it are dropped."""

    steps: tuple[Step, ...]
    suppressed: str | None = None


_PROCESSED = Step("processed", 0)
_OK: Final = {"response": "250 2.0.0 OK", "ip": "192.0.2.10", "tls": 1}
_HARD: Final = {
    "type": "bounce",
    "status": "5.1.1",
    "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
    "bounce_classification": "Invalid Address",
    "ip": "192.0.2.10",
    "tls": 1,
}
_SOFT: Final = {
    "type": "blocked",
    "status": "5.7.1",
    "reason": "554 5.7.1 Service unavailable; client host is on a block list.",
    "bounce_classification": "Reputation",
    "ip": "192.0.2.10",
    "tls": 1,
}
_BUSY: Final = {"response": "451 4.3.2 Please try again later", "attempt": "1"}
_BROWSER: Final = {"useragent": "Mozilla/5.0", "ip": "198.51.100.7"}

BOUNCED = "Bounced Address"
UNSUBSCRIBED = "Unsubscribed Address"
SPAM_REPORTED = "Spam Reporting Address"


def delivered(when: float) -> Step:
    return Step("delivered", when, _OK)


def dropped(reason: str) -> Fate:
    """Refused after acceptance, without an attempt."""
    return Fate((Step("dropped", 0, {"reason": reason}),))


def _deferred(*times: float) -> tuple[Step, ...]:
    return tuple(
        Step("deferred", when, {**_BUSY, "attempt": str(attempt)})
        for attempt, when in enumerate(times, 1)
    )


MAGIC: Final[Mapping[str, Fate]] = {
    "bounce": Fate((_PROCESSED, Step("bounce", 0.5, _HARD)), BOUNCED),
    "blocked": Fate((_PROCESSED, Step("bounce", 0.5, _SOFT))),
    "asyncbounce": Fate(
        (_PROCESSED, delivered(0.3), Step("bounce", 1.0, {"type": "bounce"}, bare=True)), BOUNCED
    ),
    "dropped": dropped(BOUNCED),
    "unsubscribed": dropped(UNSUBSCRIBED),
    "complained": dropped(SPAM_REPORTED),
    "invalid": dropped("Invalid"),
    "filtered": dropped("Spam Content"),
    "defer": Fate((_PROCESSED, *_deferred(0.3, 1.0, 3.0), delivered(LONG))),
    "late": Fate((_PROCESSED, delivered(LONG))),
    "silent": Fate(()),
    "spam": Fate((_PROCESSED, delivered(0.5), Step("spamreport", 1.0)), SPAM_REPORTED),
    "unsubscribe": Fate((_PROCESSED, delivered(0.5), Step("unsubscribe", 1.0)), UNSUBSCRIBED),
    "leave": Fate(
        (_PROCESSED, delivered(0.5), Step("group_unsubscribe", 1.0, {"asm_group_id": 7}))
    ),
    "open": Fate((_PROCESSED, delivered(0.5), Step("open", 1.0, _BROWSER))),
    "click": Fate(
        (
            _PROCESSED,
            delivered(0.5),
            Step("open", 0.8, _BROWSER),
            Step("click", 1.0, {**_BROWSER, "url": "https://status.example.com/"}),
        )
    ),
}
"""Magic word of the local part, and what it brings about."""

_WORD = re.compile(r"[a-z]+")


def fate_of(address: str, draws: Draws, *, bounced: float, deferred: float) -> Fate:
    """`bounced` and `deferred` are shares of ordinary mail."""
    word = _WORD.match(address.lower())
    if word is not None and word[0] in MAGIC:
        return MAGIC[word[0]]
    first, last = draws.early * draws.late / 2, draws.late
    processed = Step("processed", first)
    if draws.fate < bounced:
        return Fate((processed, Step("bounce", last, _HARD)), BOUNCED)
    if draws.fate < bounced + deferred:
        return Fate((processed, *_deferred(last), delivered(last + 0.5 + draws.kind)))
    return Fate((processed, delivered(last)))
