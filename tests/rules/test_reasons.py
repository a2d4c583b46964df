"""Every reason is put into words, and no two rooms use the same number for one."""

import pytest

from channels.model import Reason
from dispatcher.rules.reasons import REASONS, Decision, suppression_reason
from segments.model import Exclusion, SuppressionReason


@pytest.mark.parametrize("reason", [*Reason, *Exclusion, *Decision], ids=lambda item: item.name)
def test_a_reason_says_what_happened_and_what_to_do(reason: Reason | Exclusion | Decision) -> None:
    words = REASONS[reason]
    assert words.code
    assert words.text
    assert words.advice.endswith(".")


def test_no_two_rooms_share_a_number() -> None:
    numbers = [int(item) for enum in (Reason, Exclusion, Decision) for item in enum]
    assert len(numbers) == len(set(numbers))
    assert set(REASONS) == {0, *numbers}


def test_a_dead_address_and_an_angry_person_are_told_apart() -> None:
    assert suppression_reason(Reason.UNKNOWN_ADDRESS) is SuppressionReason.BOUNCED
    assert suppression_reason(Reason.COMPLAINED) is SuppressionReason.COMPLAINED
    assert suppression_reason(0) is SuppressionReason.REFUSED_BY_PROVIDER
