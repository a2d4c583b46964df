"""What the roll-up keeps of a dispatch: numbers and our own ids. Names and words are put in when it is read."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from dispatcher.stages.report.model import Curve, FunnelRow, PeopleCount, Row

VERSION: Final = 1
"""Raised whenever `Document` changes its shape: one of another version is counted anew."""


class SegmentCount(PeopleCount):
    """`on_time`: proof by the first-notice deadline."""

    on_time: int


class FailureCount(Row):
    """Messages that did not arrive, by codes of channel, shown status and reason."""

    channel: int
    shown: int
    reason: int
    n: int


class PersonRef(Row):
    """Somebody by the version of their contact; `why` holds codes of channel, shown status and reason."""

    person: int
    segment: str
    why: tuple[tuple[int, int, int], ...]


class Listed(Row):
    """The first of a list, and how many there are in all."""

    total: int
    rows: tuple[PersonRef, ...]


class Document(Row):
    """One dispatch, counted."""

    version: Literal[1] = VERSION
    segments: tuple[SegmentCount, ...]
    funnel: tuple[FunnelRow, ...]
    failures: tuple[FailureCount, ...]
    curve: Curve
    accounts: int
    not_reached: Listed
    ask: Listed


def read_document(stored: Mapping[str, Any] | None) -> Document | None:
    """The document as it is stored; None when there is none, or one of another version."""
    if stored is None or stored.get("version") != VERSION:
        return None
    return Document.model_validate(stored)


def references(listed: Iterable[Listed]) -> list[int]:
    """The people of these lists, for looking their names up."""
    return [row.person for part in listed for row in part.rows]
