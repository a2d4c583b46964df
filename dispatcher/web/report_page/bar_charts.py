"""Bars: where messages dropped out on each channel, and why they failed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

from dispatcher.stages.report.model import FailureRow, FunnelRow
from dispatcher.web.report_page.svg import Chart, across, drawing, element
from dispatcher.web.report_page.words import CHANNELS, counted, number, percent

_ROW, _BAR = 44.0, 14.0
_PROOF: Final = {"banner": "Seen on a screen", "social": "Posted"}

LASTING: Final = "Will fail again until somebody mends it"
PASSING: Final = "May work another time"
OURS: Final = "Held back or withdrawn by us"
_LASTING: Final = frozenset(
    {
        "invalid_address",
        "unknown_address",
        "cannot_receive",
        "opted_out",
        "complained",
        "blocked",
        "content_refused",
        "too_long",
        "duplicate_post",
        "account_problem",
        "not_configured",
        "no_address",
        "no_consent",
        "suppressed",
        "unsubscribed",
        "erased",
        "no_words",
        "filtered",
    }
)
_OURS: Final = frozenset(
    {
        "newer_update",
        "never_told",
        "cancelled",
        "superseded",
        "already_told",
        "address_changed",
        "capped",
        "shared_inbox",
    }
)


def group_of(reason: str) -> str:
    """Which of the three kinds of failure a reason is; whatever is neither lasting nor ours passes."""
    if reason in _LASTING:
        return LASTING
    return OURS if reason in _OURS else PASSING


def funnel_charts(rows: Iterable[FunnelRow]) -> list[Chart]:
    """One chart per channel, all segments together."""
    by_channel: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        numbers = row.model_dump(exclude={"segment", "channel"})
        by_channel[row.channel].update(numbers)
    return [_funnel(name, by_channel[name]) for name in CHANNELS if name in by_channel]


def _funnel(channel: str, n: Counter[str]) -> Chart:
    steps = [
        ("To be told", n["targeted"]),
        ("Can be reached here", n["reachable"]),
        ("Taken by the provider", n["accepted"]),
        (_PROOF.get(channel, "Proof of delivery"), n["notified"]),
    ]
    if channel == "banner":
        del steps[2]
    lost = [f"{number(n['failed'])} failed"] if n["failed"] else []
    lost += [f"{number(n['waiting'])} still to go"] if n["waiting"] else []
    lost += [f"{number(n['covered'])} share an inbox"] if n["covered"] else []
    title = CHANNELS[channel]
    proof = f"{percent(n['notified'], n['targeted'])} of {counted(n['targeted'], 'message', 'messages')}"
    finding = f"{proof} on this channel have proof{''.join(f', {item}' for item in lost)}."
    bars = [
        _bar(place, label, number(value), value / max(n["targeted"], 1), channel)
        for place, (label, value) in enumerate(steps)
    ]
    return Chart(
        title=title,
        finding=finding,
        drawing=drawing(f"funnel-{channel}", title, finding, len(steps) * _ROW, *bars),
        columns=("Step", "Messages", "Share"),
        rows=[(label, number(value), percent(value, n["targeted"])) for label, value in steps],
    )


_LOOKS: Final = {LASTING: "lasting", PASSING: "passing", OURS: "ours"}


def failure_charts(rows: Sequence[FailureRow]) -> list[Chart]:
    """What did not arrive, in up to three kinds, each with advice; most frequent first."""
    most = max((row.count for row in rows), default=0)
    grouped: dict[str, list[FailureRow]] = defaultdict(list)
    for row in rows:
        grouped[group_of(row.reason)].append(row)
    return [
        _failures(place, kind, grouped[kind], most)
        for place, kind in enumerate(_LOOKS)
        if kind in grouped
    ]


def _failures(place: int, kind: str, rows: Sequence[FailureRow], most: int) -> Chart:
    worst = rows[0]
    total = counted(sum(row.count for row in rows), "message", "messages")
    finding = f"{total}; most often: {worst.text.lower()} ({CHANNELS[worst.channel]}, {number(worst.count)})."
    look = _LOOKS[kind]
    bars = [
        _bar(
            line, f"{row.text} · {CHANNELS[row.channel]}", number(row.count), row.count / most, look
        )
        for line, row in enumerate(rows)
    ]
    return Chart(
        title=kind,
        finding=finding,
        drawing=drawing(f"failures-{place}", kind, finding, len(rows) * _ROW, *bars),
        columns=("What happened", "Channel", "Messages", "What to do"),
        rows=[
            (row.text, CHANNELS[row.channel], number(row.count), row.advice or "Nothing to do.")
            for row in rows
        ],
    )


def _bar(place: int, label: str, value: str, share: float, kind: str) -> Markup:
    """One row: words and number above, the bar beneath."""
    y = place * _ROW
    return element(
        "g",
        element("text", label, x=0, y=y + 15),
        element("text", value, x="100%", y=y + 15, text_anchor="end", class_="value"),
        element("rect", x=0, y=y + 22, width="100%", height=_BAR, class_="track"),
        element("rect", x=0, y=y + 22, width=across(share), height=_BAR, class_=f"bar {kind}"),
    )
