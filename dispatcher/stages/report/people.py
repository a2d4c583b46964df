"""Cells and counts into rows for people: pure, worded and judged at the moment of reading."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

from channels.model import ChannelKind
from dispatcher.rules.reasons import words_for
from dispatcher.rules.states import NOTIFIED, UNSETTLED, Shown
from dispatcher.stages.report.document import FailureCount, SegmentCount
from dispatcher.stages.report.gather import Cell
from dispatcher.stages.report.kinds import WITHHELD
from dispatcher.stages.report.model import (
    PUBLIC,
    FailureRow,
    FirstNotice,
    FunnelRow,
    PeopleRow,
)

FAILED: Final = frozenset(Shown) - NOTIFIED - UNSETTLED - {Shown.ACCEPTED}
"""Statuses in which a message certainly did not arrive and nothing more will happen to it."""


def segment_word(segment: str) -> str:
    """The stored segment, where '' is the public voice."""
    return segment or PUBLIC


def funnel(cells: Iterable[Cell]) -> tuple[FunnelRow, ...]:
    """Segment × channel, by name and then in the order of the channels."""
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for cell in cells:
        count = counts[(cell.segment, cell.channel)]
        for name in _steps(cell):
            count[name] += cell.n
    return tuple(
        FunnelRow(
            segment=segment_word(segment),
            channel=ChannelKind.from_code(channel).value,
            **{name: count[name] for name in _FUNNEL_NUMBERS},
        )
        for (segment, channel), count in sorted(counts.items())
    )


_FUNNEL_NUMBERS: Final = (
    "targeted",
    "covered",
    "reachable",
    "accepted",
    "notified",
    "failed",
    "waiting",
)


def _steps(cell: Cell) -> Iterable[str]:
    """The numbers of the funnel that this cell is part of."""
    status = cell.kind.shown
    yield "targeted"
    if cell.covered:
        yield "covered"
    if cell.kind.taken:
        yield "accepted"
    if status not in WITHHELD:
        yield "reachable"
        if status in NOTIFIED:
            yield "notified"
        elif status in UNSETTLED:
            yield "waiting"
        elif status in FAILED:
            yield "failed"


def failures(cells: Iterable[Cell]) -> tuple[FailureCount, ...]:
    """Most frequent first. Who is covered by a shared inbox did not fail."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for cell in cells:
        if cell.kind.shown in FAILED and not cell.covered:
            counts[(cell.channel, cell.kind.shown, cell.reason)] += cell.n
    return tuple(
        FailureCount(channel=channel, shown=status, reason=reason, n=n)
        for (channel, status, reason), n in sorted(
            counts.items(), key=lambda item: (-item[1], item[0])
        )
    )


def failure_rows(counted: Iterable[FailureCount]) -> tuple[FailureRow, ...]:
    """The same with words and advice."""
    found = []
    for item in counted:
        status = Shown(item.shown)
        words = words_for(status, item.reason)
        found.append(
            FailureRow(
                channel=ChannelKind.from_code(item.channel).value,
                status=status.word,
                reason=words.code,
                text=words.text,
                advice=words.advice,
                count=item.n,
            )
        )
    return tuple(found)


def people_rows(
    counted: Sequence[SegmentCount], deadline: datetime | None, *, now: datetime
) -> tuple[PeopleRow, ...]:
    """Everyone first, then each segment, judged by the deadline if this is a first notice."""
    return tuple(
        PeopleRow(
            **item.model_dump(exclude={"on_time"}),
            first_notice=judge(item, deadline, now=now) if deadline else None,
        )
        for item in counted
    )


def judge(counted: SegmentCount, deadline: datetime, *, now: datetime) -> FirstNotice:
    """Whether the promise is kept, broken, or still open at `now`."""
    late = counted.notified - counted.on_time
    waiting = counted.under_way + counted.unproven + counted.unconfirmed
    state: Literal["met", "missed", "open"] = "met"
    if late or (waiting and now > deadline):
        state = "missed"
    elif waiting:
        state = "open"
    elif not counted.notified:
        # Nobody can be reached at all: that is no kept promise.
        state = "missed" if now > deadline else "open"
    return FirstNotice(
        deadline=deadline, state=state, on_time=counted.on_time, late=late, waiting=waiting
    )
