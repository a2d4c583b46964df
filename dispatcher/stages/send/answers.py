"""What is to be written of a slice: its answers by outcome, and how it ends."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from channels.model import Accepted, Deferred, Reason, Rejected, SendResult, Unclear
from dispatcher.stages.send.claim import Claim


@dataclass(slots=True)
class Answers:
    """Answers of one slice by outcome; endpoint ids in lists, so each outcome is one statement."""

    accepted: dict[int, Accepted] = field(default_factory=dict)
    rejected: dict[tuple[Reason, bool], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    deferred: dict[Deferred, list[int]] = field(default_factory=lambda: defaultdict(list))
    unclear: dict[int, str] = field(default_factory=dict)

    @classmethod
    def sort(cls, results: Iterable[tuple[int, SendResult]]) -> "Answers":
        """Put each endpoint's answer where it belongs."""
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
        return answers


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
