"""Bars: where messages dropped out on each channel, and why they failed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Final

from markupsafe import Markup

from dispatcher.stages.report.model import FailureRow, FunnelRow
from dispatcher.web.report_page.svg import Chart, across, drawing, element
from dispatcher.web.report_page.words import CHANNELS, counted, number, percent

_LINE, _BAR, _GAP = 17.0, 12.0, 14.0
_WIDEST: Final = 44  # characters of a line that fit a telephone
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
        "not_filled_in",
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
    bars = _Bars(channel)
    for label, value in steps:
        bars.add(label, value, n["targeted"])
    return Chart(
        title=title,
        finding=finding,
        drawing=bars.drawn(f"funnel-{channel}", title, finding),
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
    bars = _Bars(_LOOKS[kind])
    for row in rows:
        bars.add(f"{CHANNELS[row.channel]}: {row.text}", row.count, most, row.advice)
    return Chart(
        title=kind,
        finding=finding,
        drawing=bars.drawn(f"failures-{place}", kind, finding),
        columns=("What happened", "Channel", "Messages", "What to do"),
        rows=[
            (row.text, CHANNELS[row.channel], number(row.count), row.advice or "Nothing to do.")
            for row in rows
        ],
    )


class _Bars:
    """Rows one under the other: words and number, the bar, and what to do about it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._made: list[Markup] = []
        self.height = 0.0

    def add(self, label: str, value: int, whole: int, advice: str = "") -> None:
        """One row; the bar shows `value` of `whole`."""
        top = self.height + _LINE
        parts = [
            element("text", number(value), x="100%", y=top - 4, text_anchor="end", class_="value")
        ]
        parts += [self._text(line, "") for line in wrap(label, _WIDEST)]
        bar = {"x": 0, "y": self.height + 1, "height": _BAR}
        parts.append(element("rect", width="100%", class_="track", **bar))
        share = across(value / whole if whole else 0)
        parts.append(element("rect", width=share, class_=f"bar {self._kind}", **bar))
        self.height += _BAR + 3
        parts += [self._text(line, "advice") for line in wrap(advice, _WIDEST)]
        self.height += _GAP
        self._made.append(element("g", *parts))

    def drawn(self, name: str, title: str, finding: str) -> Markup:
        """The picture."""
        return drawing(name, title, finding, self.height, *self._made)

    def _text(self, line: str, look: str) -> Markup:
        self.height += _LINE
        return element("text", line, x=0, y=self.height - 4, class_=look)
