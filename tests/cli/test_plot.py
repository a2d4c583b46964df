import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.cli.plot import plot, span, sparks
from dispatcher.stages.report.model import Curve


def curve(
    *points: tuple[float, int], people: int = 10, **channels: tuple[tuple[float, int], ...]
) -> Curve:
    return Curve(people=people, series={"any": points, **channels})


def top_row(lines: list[str]) -> str:
    return lines[0].partition("┤")[2]


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    times = sorted(draw(st.lists(st.floats(0, 1e6), min_size=1, max_size=200)))
    points = tuple((seconds, place) for place, seconds in enumerate(times, 1))
    return curve(*points, people=draw(st.integers(len(points), 1000)), email=points)


@given(curves())
def test_a_plot_fits_a_terminal_and_has_as_many_lines_as_asked_for(drawn: Curve) -> None:
    lines = plot(drawn)
    assert len(lines) == 12
    assert max(map(len, lines)) <= 79
    assert max(map(len, sparks(drawn))) <= 79


def test_the_curve_ends_at_the_top_when_everyone_was_told() -> None:
    assert top_row(plot(curve((1.0, 5), (2.0, 10)))).strip("⠀")
    assert not top_row(plot(curve((1.0, 2), (2.0, 5)))).strip("⠀")


def test_nothing_is_drawn_while_nobody_has_proof() -> None:
    assert plot(Curve(people=3, series={})) == []
    assert sparks(Curve(people=3, series={})) == []


def test_each_channel_says_its_share_and_its_last_proof() -> None:
    lines = sparks(curve((1.0, 5), (4.0, 10), sms=((4.0, 5),)))
    assert lines[0].endswith("100.0 %  last after 4.0 s")
    assert lines[1].startswith("sms")
    assert lines[1].endswith(" 50.0 %  last after 4.0 s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.84, "0.8 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float | None, text: str) -> None:
    assert span(seconds) == text
