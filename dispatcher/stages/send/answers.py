"""What is to be written of a slice: its answers by outcome, and how it ends."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from channels.model import Accepted, Deferred, Rejected, SendResult, Unclear
from dispatcher.rules.breaker import Heard, doubts_after, is_definite, longest
from dispatcher.rules.reasons import Decision
from dispatcher.stages.send.claim import Claim


@dataclass(slots=True)
class Answers:
    """Answers of one slice by outcome; endpoint ids in lists, so each outcome is one statement.

    `doubts`: how many at the end were unclear, one after the other.
    """

    accepted: dict[int, Accepted] = field(default_factory=dict)
    rejected: dict[tuple[int, bool], list[int]] = field(default_factory=lambda: defaultdict(list))
    deferred: dict[Deferred, list[int]] = field(default_factory=lambda: defaultdict(list))
    unclear: dict[int, str] = field(default_factory=dict)
    doubts: int = 0

    @classmethod
    def never_made(cls, endpoints: Sequence[int]) -> "Answers":
        """What is to be written of people for whom no message could be made."""
        answers = cls()
        answers.rejected[(Decision.NOT_FILLED_IN, False)] += endpoints
        return answers

    @classmethod
    def sort(cls, results: Iterable[tuple[int, SendResult]]) -> "Answers":
        """Put each endpoint's answer where it belongs; in the order in which they came."""
        answers = cls()
        for endpoint, result in results:
            match result:
                case Accepted():
                    answers.accepted[endpoint] = result
                case Rejected():
                    answers.rejected[(result.reason, result.suppress)].append(endpoint)
                case Deferred():
                    answers.deferred[result].append(endpoint)
                case Unclear():
                    answers.unclear[endpoint] = result.detail
                case _:
                    assert_never(result)
            answers.doubts = doubts_after(answers.doubts, result)
        return answers

    def heard(self, *, one_request: bool) -> Heard:
        """What they say of the sender."""
        definite = self.accepted or self.rejected or any(map(is_definite, self.deferred))
        return Heard(
            definite=bool(definite),
            doubts=min(self.doubts, 1) if one_request else self.doubts,
            stop=longest(answer for answer in self.deferred if answer.sender_wide),
        )


@dataclass(frozen=True, slots=True)
class End:
    """No more answers will come for a slice. `reference` is of a request that was for all of it."""

    detail: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be written of one slice; without an `end` there will be more."""

    held: Claim
    answers: Answers
    end: End | None = None
