"""Charts and words of the report: true to the numbers, whole without colour, safe to embed."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.model import ChannelKind, Fact
from dispatcher.rules.reasons import REASONS
from dispatcher.rules.states import Shown
from dispatcher.stages.report.model import Curve, FailureRow, FunnelRow
from dispatcher.web.report_page import words
from dispatcher.web.report_page.bar_charts import (
    LASTING,
    OURS,
    PASSING,
    failure_charts,
    funnel_charts,
    group_of,
)
from dispatcher.web.report_page.curve_chart import curve_chart
from dispatcher.web.report_page.svg import Chart, element

CURVE = Curve(
    people=100,
    series={
        "any": ((4.0, 1), (60.0, 50), (100.0, 90), (500.0, 97)),
        "email": ((10.0, 1), (120.0, 95)),
        "sms": ((4.0, 1), (30.0, 27)),
    },
)
REACHED = {"50": 60.0, "90": 100.0, "99": None, "100": None}


def parsed(chart: Chart) -> ET.Element:
    """The drawing as a tree; raises where it is no well-formed XML."""
    root = ET.fromstring(str(chart.drawing))  # noqa: S314 - our own drawing
    assert root.get("role") == "img"
    ids = {node.get("id"): node.text for node in root.iter() if node.get("id")}
    assert ids[root.get("aria-labelledby")] == chart.title
    assert ids[root.get("aria-describedby")] == chart.finding
    assert not [
        node for node in root.iter() if node.get("style") or node.tag in {"style", "script"}
    ]
    return root


def texts(root: ET.Element) -> list[str]:
    return [node.text or "" for node in root.iter("text")]


def test_the_curve_names_every_line_marks_the_shares_and_the_deadline() -> None:
    chart = curve_chart(CURVE, REACHED, 600.0)
    assert chart is not None
    said = texts(parsed(chart))
    for wanted in ("any channel 97%", "e-mail 95%", "text 27%", "50%: 1 min", "90%: 1 min 40 s"):
        assert wanted in said
    assert "deadline 10 min" in said
    assert not [text for text in said if text.startswith("99%:")]
    assert chart.finding == (
        "97% of 100 people have proof, half of all had it after 1 min, 90% after 1 min 40 s, "
        "97% by the deadline at 10 min."
    )
    assert [row[0] for row in chart.rows] == ["Any channel", "E-mail", "Text"]


def test_one_person_has_proof() -> None:
    chart = curve_chart(Curve(people=1, series={"any": ((5.0, 1),)}), REACHED, None)
    assert chart is not None
    assert chart.finding.startswith("100% of 1 person has proof")


def test_stragglers_of_days_and_far_deadlines_do_not_flatten_the_first_minutes() -> None:
    late = Curve(people=1000, series={"any": ((5.0, 500), (10.0, 998), (200_000.0, 999))})
    chart = curve_chart(late, REACHED, 4 * 3600.0)
    assert chart is not None
    said = texts(parsed(chart))
    assert "10 s" in said
    assert not [text for text in said if "deadline" in text]
    assert "by the deadline at 4 h" in chart.finding


def test_without_any_proof_there_is_no_curve() -> None:
    assert curve_chart(Curve(people=5, series={}), {}, None) is None


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.integers(1, 1000)), min_size=1, max_size=40),
    st.one_of(st.none(), st.floats(-1e5, 1e7)),
)
def test_any_curve_can_be_drawn_inside_its_frame(
    points: list[tuple[float, int]], deadline_s: float | None
) -> None:
    moments = sorted(seconds for seconds, _ in points)
    counts = sorted(people for _, people in points)
    curve = Curve(people=counts[-1], series={"any": tuple(zip(moments, counts, strict=True))})
    chart = curve_chart(curve, {"50": moments[0]}, deadline_s)
    assert chart is not None
    root = parsed(chart)
    for node in root.iter("path"):
        places = [float(text) for text in re.findall(r"[\d.]+", node.get("d") or "")]
        assert all(0 <= place <= 1000 for place in places)
    assert len(texts(root)) < 20


def test_a_funnel_per_channel_adds_its_segments_up() -> None:
    numbers = {"targeted": 10, "covered": 1, "reachable": 8, "accepted": 8, "notified": 6}
    rows = [
        FunnelRow(segment=name, channel="email", failed=2, waiting=0, **numbers)
        for name in ("smb", "enterprise")
    ]
    (chart,) = funnel_charts(rows)
    said = texts(parsed(chart))
    assert said == [
        *("20", "To be told", "16", "Can be reached here"),
        *("16", "Taken by the provider", "12", "Proof of delivery"),
    ]
    assert chart.finding == (
        "60% of 20 messages on this channel have proof, 4 failed, 2 share an inbox."
    )


def test_failures_stand_apart_by_what_can_be_done_with_advice_beside_each() -> None:
    def failure(reason: str, count: int) -> FailureRow:
        row = next(row for row in REASONS.values() if row.code == reason)
        return FailureRow(
            channel="email",
            status="failed",
            reason=reason,
            text=row.text,
            advice=row.advice,
            count=count,
        )

    charts = failure_charts([failure("unknown_address", 7), failure("unreachable_now", 3)])
    assert [chart.title for chart in charts] == [LASTING, PASSING]
    assert charts[0].rows == [
        (
            "The address does not exist",
            "E-mail",
            "7",
            "Tell them yourself, then correct the address.",
        )
    ]
    assert "Try another channel." in texts(parsed(charts[1]))


@pytest.mark.parametrize("code", sorted({row.code for row in REASONS.values()} - {""}))
def test_every_reason_is_of_one_kind_on_purpose(code: str) -> None:
    passing = {
        "unreachable_now",
        "throttled",
        "provider_down",
        "provider_error",
        "no_receipt",
        "expired_at_provider",
        "not_tried",
        "time_to_live",
        "no_proof",
    }
    assert (group_of(code) == PASSING) == (code in passing)
    assert group_of(code) in {LASTING, PASSING, OURS}


def test_every_channel_status_and_fact_has_words() -> None:
    assert set(words.CHANNELS) == {kind.value for kind in ChannelKind}
    assert set(words.STATUSES) == {status.word for status in Shown}
    assert set(words.FACTS) == {fact.value for fact in Fact}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "less than a second"),
        (9.4, "9 s"),
        (59.6, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (3930, "1 h 5 min"),
        (100_000, "1 day 3 h"),
        (172_800, "2 days"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "0%"), (0, 9, "0%"), (1, 1000, "under 1%"), (1, 2, "50%"), (999, 1000, "over 99%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said


def test_what_is_drawn_is_escaped() -> None:
    drawn = str(element("text", "<b>&", x='"'))
    assert drawn == '<text x="&#34;">&lt;b&gt;&amp;</text>'
