"""A request we refuse, with words for the person who sent it. The web layer renders it as RFC 9457."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One finding; `pointer` is a JSON pointer into the request body, or a setting's name."""

    pointer: str
    code: str
    detail: str


class RefusedError(Exception):
    """`kind` is the stable last part of the problem type; `status` the HTTP status."""

    def __init__(
        self, status: int, kind: str, title: str, problems: Sequence[FieldProblem] = ()
    ) -> None:
        super().__init__(title)
        self.status = status
        self.kind = kind
        self.title = title
        self.problems = tuple(problems)


def invalid(pointer: str, code: str, detail: str) -> RefusedError:
    """One wrong field: 422."""
    return RefusedError(
        422,
        "invalid-request",
        "The request cannot be accepted",
        [FieldProblem(pointer, code, detail)],
    )


def not_found(what: str) -> RefusedError:
    """Nothing there, or nothing the caller may see: 404."""
    return RefusedError(404, "not-found", f"There is no such {what}")


def conflict(kind: str, detail: str) -> RefusedError:
    """The state of things does not allow it: 409."""
    return RefusedError(409, kind, detail)
