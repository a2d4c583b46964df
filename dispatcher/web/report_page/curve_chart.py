"""How many people had proof after how long: a line per channel, and one for whichever came first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from dispatcher.stages.report.model import Curve
from dispatcher.web.report_page.svg import Chart, across, drawing, element
from dispatcher.web.report_page.words import CHANNELS, number, percent, span

ANY: Final = "any"
_TITLE: Final = "People with proof of the notice, over time"
_TOP, _HEIGHT, _FOOT = 36.0, 248.0, 30.0
_UNITS: Final = 1000  # of the plot's own width
_LABEL_GAP: Final = 17.0
_ABOVE: Final = 8.0
_STEPS: Final = (
    1,
    2,
    5,
    10,
    15,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1200,
    1800,
    3600,
    7200,
    14400,
    21600,
)
_DAY: Final = 86400
_TICKS: Final = 4
_LEVELS: Final = (0, 25, 50, 75, 100)
_MARKS: Final = ("50", "90", "99")
_EARLY: Final = 0.45  # left of this a mark's words stand to its right

Points = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Seconds and people to places in the plot."""

    end: float
    people: int

    def x(self, seconds: float) -> float:
        return min(seconds / self.end, 1.0)

    def y(self, people: float) -> float:
        return _TOP + _HEIGHT * (1 - people / self.people)


def curve_chart(
    curve: Curve, seconds_to: Mapping[str, float | None], deadline_s: float | None
) -> Chart | None:
    """The chart; None while nobody has proof. `seconds_to` as in PeopleRow."""
    first = curve.series.get(ANY, ())
    if not first or not curve.people:
        return None
    scale = _Scale(_end(first, deadline_s), curve.people)
    names = [ANY, *(name for name in CHANNELS if curve.series.get(name))]
    finding = _finding(curve, seconds_to, deadline_s)
    picture = drawing(
        "curve",
        _TITLE,
        finding,
        _TOP + _HEIGHT + _FOOT,
        *_grid(scale),
        *_lines(curve, names, scale),
        *_levels(scale),
        *_deadline(scale, deadline_s),
        *_marks(scale, seconds_to),
        element("svg", *_names(curve, names, scale), x="100%", overflow="visible"),
    )
    return Chart(
        title=_TITLE,
        finding=finding,
        drawing=picture,
        columns=("Channel", "People with proof", "Share", "Half of them after", "Last after"),
        rows=[_row(name, curve.series[name], curve.people) for name in names],
    )


def _end(first: Points, deadline_s: float | None) -> float:
    """Where the time axis ends: stragglers of days must not press the first minutes into one line."""
    told = first[-1][1]
    most = next(seconds for seconds, people in first if people >= 0.99 * told)
    end = min(first[-1][0], 3 * most) * 1.04
    if deadline_s is not None and deadline_s <= 3 * end:
        end = max(end, deadline_s * 1.15)
    return max(end, 1.0)


def _finding(curve: Curve, seconds_to: Mapping[str, float | None], deadline_s: float | None) -> str:
    first = curve.series[ANY]
    told = first[-1][1]
    whom = "person has" if curve.people == 1 else "people have"
    parts = [f"{percent(told, curve.people)} of {number(curve.people)} {whom} proof"]
    if (half := seconds_to.get("50")) is not None:
        parts.append(f"half of all had it after {span(half)}")
    if (most := seconds_to.get("90")) is not None:
        parts.append(f"90% after {span(most)}")
    if deadline_s is not None:
        by = max((people for seconds, people in first if seconds <= deadline_s), default=0)
        parts.append(f"{percent(by, curve.people)} by the deadline at {span(max(deadline_s, 0))}")
    return f"{', '.join(parts)}."


def _grid(scale: _Scale) -> Iterator[Markup]:
    for level in _LEVELS:
        y = scale.y(scale.people * level / 100)
        yield element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid")
    step = next((s for s in _STEPS if scale.end / s <= _TICKS), _DAY * (scale.end // _DAY // 3 + 1))
    for n in range(int(scale.end / step) + 1):
        x, y = across(scale.x(n * step)), _TOP + _HEIGHT
        yield element("line", x1=x, x2=x, y1=y, y2=y + 5, class_="axis")
        anchor = "middle" if n else "start"
        yield element("text", span(n * step) if n else "0", x=x, y=y + 20, text_anchor=anchor)


def _levels(scale: _Scale) -> Iterator[Markup]:
    for level in _LEVELS[1:]:
        y = scale.y(scale.people * level / 100) - 4
        yield element("text", f"{level}%", x=0, y=y, class_="level")


def _lines(curve: Curve, names: Sequence[str], scale: _Scale) -> Iterator[Markup]:
    # The one that counts is drawn last, over the others.
    paths = [
        element(
            "path",
            d=_path(curve.series[name], scale),
            class_=f"line {name}",
            fill="none",
            vector_effect="non-scaling-stroke",
        )
        for name in reversed(names)
    ]
    yield element(
        "svg",
        *paths,
        viewBox=f"0 0 {_UNITS} {_TOP + _HEIGHT:.0f}",
        preserveAspectRatio="none",
        width="100%",
        height=_TOP + _HEIGHT,
    )


def _path(points: Points, scale: _Scale) -> str:
    """Steps: people stay told, and between two proofs nothing happened."""
    parts, last = [f"M0 {scale.y(0):.1f}"], 0
    for seconds, people in points:
        if seconds > scale.end:
            break
        parts.append(f"H{scale.x(seconds) * _UNITS:.1f}V{scale.y(people):.1f}")
        last = people
    return "".join(parts) + (f"H{_UNITS}" if last else "")


def _deadline(scale: _Scale, deadline_s: float | None) -> Iterator[Markup]:
    if deadline_s is None or not 0 <= deadline_s <= scale.end:
        return
    x = scale.x(deadline_s)
    anchor = "start" if x < _EARLY else "end"
    yield element("line", x1=across(x), x2=across(x), y1=16, y2=_TOP + _HEIGHT, class_="deadline")
    yield element(
        "text", f"deadline {span(deadline_s)}", x=across(x), y=12, text_anchor=anchor, class_="late"
    )


def _marks(scale: _Scale, seconds_to: Mapping[str, float | None]) -> Iterator[Markup]:
    """Where half, 90 % and 99 % of all people had proof."""
    for share in _MARKS:
        seconds = seconds_to.get(share)
        if seconds is None or seconds > scale.end:
            continue
        x, y = scale.x(seconds), scale.y(scale.people * int(share) / 100)
        yield element("circle", cx=across(x), cy=y, r=4.5, class_="mark")
        left = x >= _EARLY
        yield element(
            "text",
            f"{share}%: {span(seconds)}",
            x=across(x),
            y=y + 4,
            dx=-9 if left else 9,
            text_anchor="end" if left else "start",
            class_="said",
        )


def _names(curve: Curve, names: Sequence[str], scale: _Scale) -> Iterator[Markup]:
    """Each line's name above its end, moved down where lines end close together."""
    ends = sorted((scale.y(curve.series[name][-1][1]), name) for name in names)
    y = 0.0
    for end, name in ends:
        y = end - _ABOVE if end - _ABOVE >= y + _LABEL_GAP else max(y, end) + _LABEL_GAP
        share = percent(curve.series[name][-1][1], curve.people)
        word = "any channel" if name == ANY else CHANNELS[name].lower()
        yield element(
            "text", f"{word} {share}", x=-34, y=y, text_anchor="end", class_=f"name {name}"
        )
        yield element("line", x1=-28, x2=0, y1=y - 4, y2=y - 4, class_=f"line {name}")


def _row(name: str, points: Points, people: int) -> tuple[str, ...]:
    told = points[-1][1]
    half = next(seconds for seconds, count in points if count * 2 >= told)
    word = "Any channel" if name == ANY else CHANNELS[name]
    return word, number(told), percent(told, people), span(half), span(points[-1][0])
