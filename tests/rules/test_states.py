"""The shown status is a function of a set: order, repetition and lateness of receipts cannot matter."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from channels.model import Fact
from dispatcher.rules.states import (
    EARLIER_ATTEMPTS_SHIFT,
    NOTIFIED,
    DeliveryState,
    Shown,
    SliceState,
    bit,
    bits,
    fact_code,
    fact_from_code,
    from_evidence,
    next_attempt,
    shown,
)

facts = st.lists(st.sampled_from(list(Fact)), max_size=8)
states = st.sampled_from(list(DeliveryState))
slices = st.sampled_from(list(SliceState))


def merged(seen: list[Fact]) -> int:
    evidence = 0
    for fact in seen:
        evidence |= bit(fact)
    return evidence


@given(seen=facts, data=st.data(), state=states, place=slices)
def test_order_and_repetition_of_receipts_never_change_what_is_shown(
    seen: list[Fact], data: st.DataObject, state: DeliveryState, place: SliceState
) -> None:
    shuffled = data.draw(st.permutations(seen + seen[:3]))
    assert shown(state, place, 1, merged(seen)) is shown(state, place, 1, merged(list(shuffled)))


@given(seen=facts, state=states, place=slices, attempt=st.integers(1, 200))
def test_accepted_alone_is_never_shown_as_delivered(
    seen: list[Fact], state: DeliveryState, place: SliceState, attempt: int
) -> None:
    proofs = {
        Fact.DELIVERED,
        Fact.DISPLAYED,
        Fact.DISMISSED,
        Fact.OPENED,
        Fact.CLICKED,
        Fact.POSTED,
    }
    if not proofs & set(seen):
        assert shown(state, place, attempt, merged(seen)) not in NOTIFIED


@given(seen=facts)
def test_a_hard_bounce_beats_delivered_of_the_same_attempt(seen: list[Fact]) -> None:
    evidence = merged(seen) | bit(Fact.BOUNCED_HARD)
    assert from_evidence(evidence) is Shown.FAILED


@given(seen=facts, later=facts)
def test_proof_of_an_earlier_attempt_outlives_a_failed_later_one(
    seen: list[Fact], later: list[Fact]
) -> None:
    first = merged([fact for fact in seen if fact not in {Fact.BOUNCED_HARD, Fact.DROPPED}])
    evidence = next_attempt(first | bit(Fact.DELIVERED)) | merged(later)
    assert from_evidence(evidence) in NOTIFIED


def test_what_a_new_attempt_inherits_does_not_count_as_its_own_acceptance() -> None:
    evidence = next_attempt(bit(Fact.QUEUED))
    assert evidence == bit(Fact.QUEUED) << EARLIER_ATTEMPTS_SHIFT
    assert shown(DeliveryState.PLANNED, SliceState.WAITING, 2, evidence) is Shown.RETRYING


@given(seen=facts, later=facts)
def test_evidence_fits_a_signed_32_bit_column(seen: list[Fact], later: list[Fact]) -> None:
    evidence = next_attempt(merged(seen)) | merged(later)
    assert 0 <= next_attempt(evidence) | merged(list(Fact)) < 2**31


def test_a_receipt_before_the_response_already_shows_its_fact() -> None:
    assert shown(DeliveryState.PLANNED, SliceState.IN_FLIGHT, 1, 0) is Shown.SENDING
    assert (
        shown(DeliveryState.PLANNED, SliceState.IN_FLIGHT, 1, bit(Fact.DELIVERED))
        is Shown.DELIVERED
    )


def test_deferred_and_soft_bounces_are_not_final() -> None:
    evidence = bits(Fact.QUEUED, Fact.DEFERRED, Fact.BOUNCED_SOFT)
    assert shown(DeliveryState.ACCEPTED, SliceState.DONE, 1, evidence) is Shown.ACCEPTED


def test_every_combination_of_state_and_place_has_a_status() -> None:
    for state in DeliveryState:
        for place in SliceState:
            for attempt in (1, 2):
                assert shown(state, place, attempt, 0) in Shown


def test_status_codes_are_the_places_of_the_counter() -> None:
    assert [status.value for status in Shown] == list(range(14))
    assert all(later - earlier == 1 for earlier, later in pairwise(sorted(Shown)))


def test_facts_survive_their_code() -> None:
    assert {fact_from_code(fact_code(fact)) for fact in Fact} == set(Fact)
