"""The circuit breaker: a few doubts stop a sender, a definite answer forgives, each stop lasts longer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.model import Accepted, Deferred, Reason, Rejected, SendResult, Unclear
from dispatcher.rules.breaker import (
    MOST_DOUBTS_BATCH,
    MOST_DOUBTS_SINGLE,
    NOT_ASKED,
    Breaker,
    BreakerState,
    Heard,
    Why,
    doubts_after,
    joined,
    judge,
    most_doubts,
    reminded,
)

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
THROTTLED = Deferred(Reason.THROTTLED, "429", sender_wide=True)
SPAN = timedelta(seconds=5)
FINE = Heard(definite=True)


def pause_of(trips: int) -> timedelta:
    return timedelta(seconds=10 * trips)


def judged(before: Breaker, heard: Heard) -> Breaker:
    return judge(before, heard, doubts_allowed=MOST_DOUBTS_SINGLE, now=NOW, pause=pause_of)


def heard(doubts: int, *, definite: bool = False, stop: Deferred | None = None) -> Heard:
    return Heard(doubts=doubts, definite=definite, stop=stop)


def test_doubts_in_a_row_stop_a_sender_wherever_they_were_heard() -> None:
    sender = judged(Breaker(), heard(3))
    assert (sender.doubts, sender.state(NOW)) == (3, BreakerState.CLOSED)
    sender = judged(sender, heard(2))
    assert (sender.state(NOW), sender.why) == (BreakerState.OPEN, Why.PROVIDER_UNCLEAR)
    assert (sender.trips, sender.paused_until) == (1, NOW + pause_of(1))


def test_one_definite_answer_forgives_the_doubts_before_it_and_none_after_it() -> None:
    sender = judged(judged(Breaker(), heard(4)), heard(3, definite=True))
    assert (sender.doubts, sender.state(NOW)) == (3, BreakerState.CLOSED)
    assert judged(sender, heard(2)).state(NOW) is BreakerState.OPEN


def test_a_request_for_many_counts_for_more() -> None:
    assert most_doubts(1000) == MOST_DOUBTS_BATCH
    assert most_doubts(1) == MOST_DOUBTS_SINGLE
    assert MOST_DOUBTS_BATCH < MOST_DOUBTS_SINGLE


@pytest.mark.parametrize(
    ("stop", "why"),
    [
        (THROTTLED, Why.THROTTLED),
        (Deferred(Reason.PROVIDER_DOWN, "", sender_wide=True), Why.PROVIDER_DOWN),
        (Deferred(Reason.ACCOUNT_PROBLEM, "", sender_wide=True), Why.ACCOUNT_PROBLEM),
        (NOT_ASKED, Why.PROVIDER_UNCLEAR),
    ],
)
def test_a_refusal_of_the_whole_sender_stops_it_at_once_and_says_why(
    stop: Deferred, why: Why
) -> None:
    sender = judged(Breaker(), heard(0, stop=stop))
    assert (sender.trips, sender.why, sender.state(NOW)) == (1, why, BreakerState.OPEN)


def test_the_wait_a_provider_asks_for_is_kept() -> None:
    asked = Deferred(Reason.THROTTLED, "429", timedelta(seconds=7), sender_wide=True)
    sender = judged(Breaker(trips=3), heard(0, stop=asked))
    assert sender.paused_until == NOW + timedelta(seconds=7)
    assert sender.state(NOW + timedelta(seconds=7)) is BreakerState.PROBING


def test_on_probation_one_doubt_is_enough_and_each_pause_is_longer() -> None:
    sender = Breaker()
    for trips in range(1, 5):
        sender = judged(sender, heard(MOST_DOUBTS_SINGLE if trips == 1 else 1))
        assert (sender.trips, sender.paused_until) == (trips, NOW + pause_of(trips))
    sender = judged(sender, FINE)
    assert (sender.trips, sender.doubts) == (0, 0)


def test_what_was_asked_before_the_pause_changes_nothing_but_how_long_it_lasts() -> None:
    paused = judged(Breaker(), heard(5))
    assert reminded(paused, heard(3, definite=True, stop=THROTTLED), now=NOW) == paused
    patient = Deferred(Reason.THROTTLED, "429", timedelta(hours=1), sender_wide=True)
    longer = reminded(paused, heard(0, stop=patient), now=NOW)
    assert (longer.paused_until, longer.trips) == (NOW + timedelta(hours=1), 1)


def test_of_requests_side_by_side_one_success_is_believed() -> None:
    assert joined([heard(3), heard(2)]).doubts == 5
    assert joined([heard(3), heard(2, definite=True)]) == heard(3, definite=True)
    assert joined([]) == Heard()


ANSWERS: dict[str, tuple[SendResult, int]] = {
    "accepted": (Accepted("1"), 0),
    "rejected": (Rejected(Reason.INVALID_ADDRESS, ""), 0),
    "an answer about one message": (Deferred(Reason.UNREACHABLE_NOW, ""), 0),
    "never asked": (Deferred(Reason.NOT_TRIED, ""), 4),
    "the whole sender": (THROTTLED, 4),
    "unclear": (Unclear(""), 5),
}


@pytest.mark.parametrize(("answer", "doubts"), ANSWERS.values(), ids=ANSWERS.keys())
def test_only_an_answer_about_a_message_ends_a_row_of_doubts(
    answer: SendResult, doubts: int
) -> None:
    assert doubts_after(4, answer) == doubts


@given(
    st.lists(
        st.builds(
            Heard,
            definite=st.booleans(),
            doubts=st.integers(0, 8),
            stop=st.none() | st.just(THROTTLED) | st.just(NOT_ASKED),
        )
    )
)
def test_whatever_is_heard_a_closed_sender_has_fewer_doubts_than_stop_it(
    story: list[Heard],
) -> None:
    sender, now = Breaker(), NOW
    for part in story:
        sender = judge(
            sender, part, doubts_allowed=MOST_DOUBTS_SINGLE, now=now, pause=lambda _: SPAN
        )
        assert sender.doubts < MOST_DOUBTS_SINGLE
        assert (sender.trips == 0) == (sender.state(now) is BreakerState.CLOSED)
        if sender.paused_until is not None:
            now = max(now, sender.paused_until)
        if sender.trips:
            assert (sender.why in set(Why), sender.doubts) == (True, 0)
            assert sender.state(now) is BreakerState.PROBING
