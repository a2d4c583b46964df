"""No message contradicts the state it tells: what is over, how far the work is, when more is said."""

from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from channels.model import ChannelKind
from templates.lint import lint
from templates.render import Kind, Rendering
from tests.templates.samples import EVERYWHERE, RICH, SPARSE, at, composed, occasion, one

AGAIN = "Card payments work again for everybody."
BROKEN = "Card payments fail at the last step of checkout."
SEGMENTS = [*EVERYWHERE, "own segment"]


def over(segment: str, impact: str, *new: str) -> list[Rendering]:
    facts = RICH.model_copy(update={"impact": impact, "next_update_by": None})
    case = occasion(Kind.RESOLVED, status="resolved", at=at(155), changed=frozenset(new))
    return composed(facts, case, segment=segment)


def told(rendering: Rendering) -> str:
    return unescape(" ".join(rendering.parts.values())).lower()


@pytest.mark.parametrize("segment", SEGMENTS)
def test_the_all_clear_never_calls_the_new_state_what_was_noticed(segment: str) -> None:
    for rendering in over(segment, AGAIN, "impact"):
        assert "may have noticed" not in told(rendering), rendering.channel
        if rendering.channel is ChannelKind.EMAIL:
            assert AGAIN.lower() in told(rendering)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_the_all_clear_tells_an_impact_of_before_only_as_what_was_noticed(segment: str) -> None:
    for rendering in over(segment, BROKEN, "what_we_do"):
        if rendering.channel is ChannelKind.EMAIL:
            html, text = (unescape(rendering.parts[part]).lower() for part in ("html", "text"))
            assert html.count(BROKEN.lower()) == text.count(BROKEN.lower()) == 1
            assert html.index("may have noticed") < html.index(BROKEN.lower())
            assert text.index("may have noticed") < text.index(BROKEN.lower())
        else:
            assert BROKEN.lower() not in told(rendering), rendering.channel


WORK = {
    "investigating": "We are finding out what is behind this.",
    "identified": "We have found what is behind this and are repairing it.",
    "monitoring": "The repair is in place. We are watching whether it holds.",
    "scheduled": "This work is planned and has not begun.",
    "in_progress": "The work is under way.",
    "verifying": "The work is done. We are checking that everything runs as it should.",
    "a word of a sender": "We are working on it.",
}


@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGEMENT, Kind.UPDATE])
@pytest.mark.parametrize("status", WORK)
def test_without_words_on_the_work_its_status_says_how_far_it_is(status: str, kind: Kind) -> None:
    facts = SPARSE.model_copy(update={"what_we_do": None})
    mail = one(facts, occasion(kind, status=status), ChannelKind.EMAIL).parts["text"]
    section = mail.partition("WHAT WE ARE DOING\n\n")[2].partition("\n\nWHAT HAPPENS NEXT")[0]
    assert section == WORK[status]


@pytest.mark.parametrize("status", ["resolved", "completed"])
def test_what_is_over_is_not_said_to_be_worked_on(status: str) -> None:
    facts = SPARSE.model_copy(update={"what_we_do": None})
    mail = one(facts, occasion(Kind.RESOLVED, status=status), ChannelKind.EMAIL).parts["text"]
    assert "WHAT WE" not in mail
    assert not [words for words in WORK.values() if words in mail]


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGEMENT, Kind.UPDATE, Kind.WORKAROUND])
def test_a_promise_of_another_year_has_its_year_wherever_it_stands(
    segment: str, kind: Kind
) -> None:
    facts = RICH.model_copy(update={"next_update_by": datetime(2099, 1, 1, 12, tzinfo=UTC)})
    renderings = composed(facts, occasion(kind, at=at(100)), segment=segment)
    for rendering in renderings:
        assert "by 12:00 utc on thu 1 jan 2099" in told(rendering), rendering.channel
    assert lint(renderings, facts, occasion(kind, at=at(100))) == []


def test_a_range_over_the_turn_of_the_year_has_the_year_once() -> None:
    eve = datetime(2026, 12, 31, 22, 0, tzinfo=UTC)
    eta = {
        "earliest": eve + timedelta(hours=1),
        "latest": eve + timedelta(hours=4),
        "confirmed_by": ["Head of Payments"],
    }
    facts = type(RICH).model_validate({**RICH.model_dump(), "eta": eta})
    mail = one(facts, occasion(Kind.UPDATE, at=eve), ChannelKind.EMAIL).parts["text"]
    assert "between 23:00 UTC and 02:00 UTC on Fri 1 Jan 2027." in mail
