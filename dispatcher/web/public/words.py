"""An update as plain text for readers who follow along: what is new, and when more will be said."""

from datetime import datetime
from typing import Final

from templates.facts import Facts, changed
from templates.times import between, clock

_ZONE: Final = "UTC"


def body_of(facts: Facts, before: Facts | None, *, at: datetime, over: bool) -> str:
    """Paragraphs with an empty line between them; `before` is what had been said until then.

    Unlike a message to one customer it tells no more than has changed: readers see the updates before.
    """
    new = changed(before, facts)
    told = [text for name, text in _sentences(facts, at, over=over) if name in new and text]
    if facts.next_update_by and not over:
        told.append(f"Next update by {clock(facts.next_update_by, on=at, zone=_ZONE)}.")
    if not new - {"next_update_by"}:
        told.insert(0, "This is over." if over else "Nothing has changed since the last update.")
    return "\n\n".join(told)


def _sentences(facts: Facts, at: datetime, *, over: bool) -> list[tuple[str, str | None]]:
    """The paragraph of each fact that outsiders are told, in the order in which they need them."""
    cause = facts.cause.text if facts.cause and facts.cause.confirmed else None
    safe = facts.data_safe.text if facts.data_safe else None
    found: list[tuple[str, str | None]] = [("impact", facts.impact), ("data_safe", safe)]
    if not over and facts.workaround:
        found.append(("workaround", _numbered(facts.workaround.steps, facts.workaround.caveats)))
    if not over and facts.do_not:
        found.append(("do_not", " ".join(facts.do_not)))
    found += [("what_we_do", facts.what_we_do), ("cause", cause)]
    if not over and facts.eta and facts.eta.confirmed_by:
        ends = between(facts.eta.earliest, facts.eta.latest, on=at, zone=_ZONE)
        found.append(("eta", f"We expect this to be over {ends}."))
    return found


def _numbered(steps: tuple[str, ...], caveats: str | None) -> str:
    lines = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join(["What you can do meanwhile:", *lines, *([caveats] if caveats else [])])
