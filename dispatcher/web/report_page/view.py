"""What the report's page says, made from the report: sentences first, then the charts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dispatcher.stages.report.model import DispatchReport, FirstNotice, PeopleRow
from dispatcher.web.report_page import words
from dispatcher.web.report_page.bar_charts import failure_charts, funnel_charts
from dispatcher.web.report_page.curve_chart import curve_chart
from dispatcher.web.report_page.words import counted, moment, number, span

STANDINGS: Final = {
    "not_told": "Nobody told",
    "partly_told": "Some not told",
    "waiting": "On its way",
    "told": "Everybody told",
    "withdrawn": "Withdrawn",
    "notified": "Told, with proof",
    "under_way": "On its way",
    "unproven": "Sent, no proof yet",
    "unconfirmed": "Unclear: ask them",
    "not_reached": "Not told: phone them",
}
"""Where a customer, or one person, stands, in words."""

_STATES: Final = {
    "planning": "Finding out who is to be told",
    "sending": "Sending now",
    "completed": "Sending has finished",
    "cancelled": "Cancelled before its end",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence and how to take it: good, bad or open."""

    mood: str
    text: str


def report_names(report: DispatchReport, *, read_pii: bool) -> dict[str, Any]:
    """What `report.html` prints, apart from the table of accounts."""
    everyone = report.everyone if report.counted else None
    notice = everyone.first_notice if everyone else None
    deadline_s = (notice.deadline - report.decided_at).total_seconds() if notice else None
    return {
        "words": words,
        "report": report,
        "read_pii": read_pii,
        "standings": STANDINGS,
        "state": state(report),
        "headline": headline_of(report),
        "tiles": list(tiles(everyone)) if everyone else [],
        "notice": notice_words(notice, on=report.made_at) if notice else None,
        "speed": _speed(everyone) if everyone else None,
        "phone_total": to_phone(report),
        "reasons": _reasons(report),
        "curve": curve_chart(report.curve, everyone.seconds_to, deadline_s) if everyone else None,
        "funnels": funnel_charts(report.funnel),
        "failures": failure_charts(report.failures),
    }


def to_phone(report: DispatchReport) -> int:
    """People who must be told or asked in another way."""
    return report.not_reached_total + report.ask_total


def state_words(word: str, *, paused: bool) -> str:
    """The state of a dispatch for people."""
    return "Paused by a person" if paused and word in {"planning", "sending"} else _STATES[word]


def state(report: DispatchReport) -> str:
    """Where the dispatch stands."""
    said = state_words(report.state, paused=report.paused)
    if report.completed_at is None:
        return said
    took = span((report.completed_at - report.decided_at).total_seconds())
    return f"{said} after {took}" if report.state == "completed" else said


def headline(people: int | None, notified: int, to_phone: int) -> tuple[Verdict, ...]:
    """How many were told, and how many must be phoned; `people` is None while nobody has counted."""
    if people is None:
        return (Verdict("open", "It is still being counted who was told."),)
    if not people:
        return (Verdict("open", "There was nobody to tell."),)
    share = (
        f"All {number(people)}"
        if people == notified > 1
        else f"{number(notified)} of {number(people)}"
    )
    told = f"{share} {'person has' if people == 1 else 'people have'} proof of the notice;"
    calls = f"{number(to_phone)} must be phoned." if to_phone else "nobody must be phoned."
    return (
        Verdict("good" if notified == people else "open", told),
        Verdict("bad" if to_phone else "good", calls),
    )


def headline_of(report: DispatchReport) -> tuple[Verdict, ...]:
    """The headline of a report."""
    if not report.counted:
        return headline(None, 0, 0)
    return headline(report.everyone.people, report.everyone.notified, to_phone(report))


def tiles(everyone: PeopleRow) -> Iterator[tuple[str, str, str]]:
    """Name, number and explanation; they add up to everybody."""
    yield "Told", number(everyone.notified), "with proof of delivery or of being seen"
    for name, value, explained in (
        ("On its way", everyone.under_way, "waiting, leaving, or being tried again"),
        ("No proof yet", everyone.unproven, "sent; the receiver has not confirmed it"),
        ("Not told", everyone.not_reached, "every way failed: phone them"),
        ("Unclear", everyone.unconfirmed, "it may or may not have left: ask them"),
        ("Withdrawn", everyone.withdrawn, "cancelled, or replaced by a newer update"),
    ):
        if value:
            yield name, number(value), explained


def notice_words(notice: FirstNotice, *, on: datetime) -> Verdict:
    """The promise of the first notice: kept, broken or open."""
    by = moment(notice.deadline, on=on).text
    match notice.state:
        case "met":
            return Verdict(
                "good", f"First notice in time: everybody who can be reached had it by {by}."
            )
        case "open":
            waiting = counted(notice.waiting, "person is", "people are")
            return Verdict("open", f"First notice due by {by}: {waiting} still without proof.")
        case "missed":
            late = counted(notice.late, "person got it later", "people got it later")
            waiting = counted(notice.waiting, "has no proof yet", "have no proof yet")
            parts = [late] if notice.late else []
            parts += [waiting] if notice.waiting else []
            why = f": {' and '.join(parts)}" if parts else ""
            return Verdict("bad", f"First notice was due by {by} and was not kept{why}.")


def _speed(everyone: PeopleRow) -> str | None:
    """How fast, in one sentence; None while half are still without proof."""
    shares = {"50": "Half of all people", "90": "90%", "99": "99%"}
    said = [
        f"{text} {'had proof ' if share == '50' else ''}after {span(seconds)}"
        for share, text in shares.items()
        if (seconds := everyone.seconds_to.get(share)) is not None
    ]
    return f"{', '.join(said)}." if said else None


def _reasons(report: DispatchReport) -> list[tuple[str, str]]:
    """Why people in the list were not told, most frequent first: each person by their first failure."""
    found: dict[str, int] = {}
    for person in report.not_reached:
        text = person.why[0].text if person.why else "No address at all"
        found[text] = found.get(text, 0) + 1
    return [(number(n), text) for text, n in sorted(found.items(), key=lambda item: -item[1])]
