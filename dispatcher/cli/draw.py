"""The report as a person reads it in a terminal: what happened, how fast, where it failed, whom to call."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console

from dispatcher.cli.base import table
from dispatcher.cli.plain import as_text
from dispatcher.cli.plot import plot, span, sparks
from dispatcher.stages.report import AccountDeliveries, DispatchReport
from dispatcher.stages.report.account_model import DeliveryRow
from dispatcher.stages.report.model import SHARES, PeopleRow, PersonRow

LINES: Final = 15
"""How much of a long list is shown; --json and --csv have all of it."""

_WITHHELD: Final = frozenset({"suppressed", "unreachable", "cancelled", "superseded"})

NOTHING_YET: Final = (
    "No update has been sent yet, so there is nothing to report.",
    "Send one:  tidings send update.yaml   (or see it all at once:  tidings demo)",
)


def draw_report(out: Console, report: DispatchReport) -> None:
    """Print everything but the accounts that are fine."""
    parts = (_header, _speed, _funnel, _failures, _people) if report.counted else (_header,)
    for part in parts:
        for item in part(report):
            out.print(as_text(item) if isinstance(item, str) else item)


def _header(report: DispatchReport) -> Iterator[object]:
    incident, update = report.incident, report.update
    yield f"{incident.external_id} · {update.severity} · update {update.seq} ({update.kind}, {update.status})"
    yield update.title
    state = "paused" if report.paused else report.state
    ended = report.completed_at
    took = f" after {span((ended - update.at).total_seconds())}" if ended else ""
    yield f"taken in {update.at:%Y-%m-%d %H:%M:%S} UTC, {state}{took} · {report.dispatch}"
    yield ""
    totals = ", ".join(f"{n} {status}" for status, n in report.totals.items())
    yield f"Messages: {totals or 'none'}"
    if report.as_of is None:
        yield "Who was told is being counted for the first time; ask again in a minute."
        return
    if report.stale:
        yield f"People as counted at {report.as_of:%H:%M:%S} UTC; something has changed since."
    if notice := report.everyone.first_notice:
        yield f"First notice by {notice.deadline:%Y-%m-%d %H:%M} UTC: {notice.state}"
    yield ""


def _speed(report: DispatchReport) -> Iterator[object]:
    everyone = report.everyone
    if not everyone.people:
        yield "Nobody was to be told."
        return
    share = 100 * everyone.notified / everyone.people
    yield (
        f"People with proof (delivered or displayed): {everyone.notified} of {everyone.people} ({share:.1f} %)"
    )
    yield from plot(report.curve)
    yield ""
    yield from sparks(report.curve)
    yield ""
    columns = (
        "segment",
        "people",
        "reachable",
        "told",
        *(f"{item} %" for item in SHARES),
        "notice",
    )
    rows = [_person_cells(row) for row in report.people]
    yield table(columns, rows, right=columns[1:-1])
    yield ""


def _person_cells(row: PeopleRow) -> tuple[object, ...]:
    times = (span(row.seconds_to[str(share)]) for share in SHARES)
    notice = row.first_notice.state if row.first_notice else ""
    return (row.segment, row.people, row.reachable, row.notified, *times, notice)


def _funnel(report: DispatchReport) -> Iterator[object]:
    if not report.funnel:
        return
    names = ("targeted", "covered", "reachable", "accepted", "notified", "failed", "waiting")
    rows = [
        (row.segment, row.channel, *(getattr(row, name) for name in names)) for row in report.funnel
    ]
    yield table(("segment", "channel", *names), rows, right=names)
    yield ""


def _failures(report: DispatchReport) -> Iterator[object]:
    failed = [row for row in report.failures if row.status not in _WITHHELD]
    withheld = [row for row in report.failures if row.status in _WITHHELD]
    if not failed:
        yield "Nothing that was sent failed."
        yield ""
    for title, rows in (("failed", failed), ("not sent", withheld)):
        if rows:
            cells = [(row.count, row.channel, row.text, row.advice) for row in rows[:LINES]]
            yield table((title, "channel", "why", "what to do"), cells, right=(title,))
            yield from _more(len(rows))
            yield ""


def _people(report: DispatchReport) -> Iterator[object]:
    lists = (
        ("Could not be reached", report.not_reached, report.not_reached_total),
        ("Unconfirmed, ask them", report.ask, report.ask_total),
    )
    for title, persons, total in lists:
        if total:
            yield f"{title}: {total}"
            yield table(("person", "account", "why"), [_why(person) for person in persons[:LINES]])
            yield from _more(total)
            yield ""


def _why(person: PersonRow) -> Sequence[str]:
    # That somebody has no phone explains nothing when their mailbox is what failed.
    known = [why for why in person.why if why.reason != "no_address"]
    reasons = "; ".join(f"{why.channel}: {why.text}" for why in known) or "No address at all"
    return f"{person.name or person.contact} ({person.segment})", person.account_name, reasons


def _more(total: int) -> Iterator[str]:
    if total > LINES:
        yield f"… and {total - LINES} more: --json or --csv has all"


def draw_account(out: Console, found: AccountDeliveries) -> None:
    """Print what one customer got, newest first."""
    manager = f", looked after by {found.manager}" if found.manager else ""
    out.print(as_text(f"{found.name} ({found.account}, {found.segment}{manager})"))
    if not found.data:
        out.print("Nothing has been sent to this account.")
    for update in found.data:
        first = (
            f"first told {update.first_told_at:%H:%M:%S}"
            if update.first_told_at
            else "nobody told yet"
        )
        words = (
            f"\n{update.at:%Y-%m-%d %H:%M:%S} UTC · {update.incident_external_id} update {update.seq} "
            f"({update.status}) · {update.title} · {first}"
        )
        out.print(as_text(words))
        rows = [
            (
                row.name or row.contact,
                row.channel,
                row.address,
                row.status + (f": {row.reason_text}" if row.reason_text else ""),
                " → ".join(f"{event.fact} {event.at:%H:%M:%S}" for event in row.timeline),
            )
            for row in _worth_telling(update.deliveries)
        ]
        out.print(table(("person", "channel", "address", "status", "history"), rows))
    if found.next_cursor:
        out.print(as_text(f"\nOlder ones: --cursor {found.next_cursor}"))


def _worth_telling(rows: Sequence[DeliveryRow]) -> list[DeliveryRow]:
    """Without the channels on which a person has no address, unless that is all there is to say."""
    known = [row for row in rows if row.reason != "no_address"]
    told_of = {(row.contact, row.name) for row in known}
    return [
        row for row in rows if row.reason != "no_address" or (row.contact, row.name) not in told_of
    ]
