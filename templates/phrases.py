"""The phrases several channels share: what they call a state, a time, a list of features."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from templates.facts import Facts, Scope
from templates.occasion import Kind, Occasion
from templates.times import between, clock, lasted, stamp

_OVER_WHEN_RESOLVED = {"workaround": None, "do_not": (), "what_we_do": None}
_SEVERITY = {
    "P0": "P0 (critical)",
    "P1": "P1 (major)",
    "P2": "P2 (moderate)",
    "P3": "P3 (minor)",
    "planned": "planned work",
}
_ENDS = (".", "!", "?", "…", ":", "。", '."', ".)")
_SENTENCE_END = re.compile(r"[.!?](?=\s+[^a-z0-9\s])")
_ABBREVIATIONS = {"approx", "ca", "co", "e.g", "i.e", "inc", "incl", "ltd", "max", "no", "st", "vs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """`said` in the words files. Times carry a zone, and a date where they need one.

    `no_news`: only the next update time is new. `lifted`: the all-clear ends earlier advice. `ended`: when,
    and after how long where that is known; nothing says of `started_stamp` and `lasted` what is not.
    """

    state: str
    first_sentence: str
    no_news: bool
    lifted: bool
    severity: str
    at: str
    stamp: str
    started_stamp: str | None
    lasted: str | None
    ended: str
    ended_brief: str
    ended_stamp: str
    next_update: str | None
    eta: str | None
    features: str | None
    regions: str | None


def phrases(facts: Facts, occasion: Occasion) -> Phrases:
    """What can be said of `facts` on this occasion, before any segment's words."""
    scope = facts.scope or Scope()
    at = clock(occasion.at, on=occasion.at, zone=occasion.zone)
    today = stamp(occasion.at, zone=occasion.zone)
    start, whole, brief = None, None, None
    if occasion.has_known_start:
        start = stamp(occasion.started_at, zone=occasion.zone)
        whole, brief = (
            lasted(occasion.started_at, occasion.at, brief=short) for short in (False, True)
        )
    return Phrases(
        state=_state(occasion),
        first_sentence=first_sentence(facts.impact or ""),
        no_news=occasion.changed <= {"next_update_by"},
        lifted=still_true(facts, occasion) != facts,
        severity=_SEVERITY.get(occasion.severity, occasion.severity),
        at=at,
        stamp=today,
        started_stamp=start,
        lasted=whole,
        ended=f"{at}, after {whole}" if whole else at,
        ended_brief=f"{at} after {brief}" if brief else at,
        ended_stamp=f"{today}, after {whole}" if whole else today,
        next_update=next_update(facts, occasion),
        eta=_eta(facts, occasion),
        features=_and_list(scope.features),
        regions=_and_list(scope.regions),
    )


def still_true(facts: Facts, occasion: Occasion) -> Facts:
    """`facts` without what the all-clear makes stale: advice and work of earlier updates."""
    if occasion.kind is not Kind.RESOLVED:
        return facts
    stale = _OVER_WHEN_RESOLVED.keys() - occasion.changed
    return facts.model_copy(update={name: _OVER_WHEN_RESOLVED[name] for name in stale})


def next_update(facts: Facts, occasion: Occasion) -> str | None:
    """The promised time as every message spells it."""
    if facts.next_update_by is None:
        return None
    return clock(facts.next_update_by, on=occasion.at, zone=occasion.zone)


def first_sentence(text: str) -> str:
    """The first sentence of `text`, closed by a full stop where it has none."""
    for end in _SENTENCE_END.finditer(text):
        words = text[: end.start()].split()
        if words and words[-1].lower() not in _ABBREVIATIONS:
            return sentence(text[: end.end()])
    return sentence(text)


def sentence(text: str) -> str:
    """`text` as one line that ends like a sentence."""
    return closed(" ".join(text.split()))


def closed(text: str) -> str:
    """`text` with a full stop where its author left it out."""
    return text if not text or text.endswith(_ENDS) else f"{text}."


def _state(occasion: Occasion) -> str:
    if occasion.kind is Kind.RESOLVED:
        return "Resolved"
    return "New" if occasion.kind is Kind.ACKNOWLEDGEMENT else f"Update {occasion.revision}"


def _eta(facts: Facts, occasion: Occasion) -> str | None:
    eta = facts.eta
    if eta is None or not eta.confirmed_by:
        return None
    return between(eta.earliest, eta.latest, on=occasion.at, zone=occasion.zone)


def _and_list(items: Sequence[str]) -> str | None:
    if len(items) <= 1:
        return items[0] if items else None
    return f"{', '.join(items[:-1])} and {items[-1]}"
