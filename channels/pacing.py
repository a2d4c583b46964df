"""When may the next messages of a sender leave? Pure arithmetic; its state is a row per window.

Each window of L messages in W seconds is cut into twelve cells. Reserved units are counted in the
cell in which they will leave, and thirteen cells in a row never hold more than L: no interval of W
seconds, wherever it begins, touches more than thirteen. That is the guarantee. On top of it, units
of short windows are spaced evenly over thirteen cells, so that the guarantee rarely has to stop
anything and the provider sees a steady flow, at 12/13 of the limit; the rest absorbs the jitter of
sleeping and of the network. Long windows have no spacing: a hundred posts in fifteen minutes may
well go out at once.

Reckoned in whole microseconds: floats near a boundary would break the guarantee.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import ceil
from typing import TypeAlias

_MICRO = 1_000_000
_CELLS = 12
_SHORT_WINDOW_S = 60
_UNBOUNDED = 2**31 - 1
# Units the most urgent lane may take for one of the others: a tenth of everything is theirs.
_URGENT_PER_LOWER = 9
# How far ahead of their share retries may be: a turn a second would lose what is smaller otherwise.
RETRIES_AHEAD_S = 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` units in any `seconds`. A unit: a mail, an SMS segment, a post."""

    count: int
    seconds: float

    def __post_init__(self) -> None:
        if self.count < 1 or self.seconds <= 0:
            raise ValueError(f"a limit needs a positive count and time, not {self}")


@dataclass(frozen=True, slots=True)
class BucketState:
    """What one window remembers: units per cell, oldest first, the last being number `cell_no`.

    `next_free`: no unit may leave before this time (seconds of the Unix epoch).
    """

    next_free: float = 0.0
    cells: tuple[int, ...] = (0,) * (_CELLS + 1)
    cell_no: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """Reserved. Unit k leaves at `start` + k * `spacing` (seconds); store `states` at once.

    Who comes later than `start` must keep the spacing from then on, never hurry to catch up.
    """

    start: float
    spacing: float
    states: tuple[BucketState, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing reserved: ask again at `until` (seconds of the Unix epoch)."""

    until: float


Reservation: TypeAlias = Grant | Wait


def steady_spacing(limits: Sequence[Limit]) -> float:
    """Seconds between two units of a steady flow; 0 where no short window asks for any."""
    return max((_Window.of(limit, BucketState()).spacing for limit in limits), default=0) / _MICRO


def reserve(
    limits: Sequence[Limit],
    states: Sequence[BucketState],
    now: float,
    cost: int,
    horizon: float,
    *,
    spread: bool,
) -> Reservation:
    """The earliest time `cost` units fit into every window, if within `horizon` seconds of `now`.

    `spread`: the units leave one by one; else all at `start`, as one request. `states` belong to
    `limits` by position; a window whose `seconds` changed begins with a fresh one. Times never run
    backwards, even where `now` does. ValueError where `cost` can never fit: see `largest_cost`.
    """
    if not 1 <= cost <= largest_cost(limits, spread=spread):
        raise ValueError(f"a cost of {cost} never fits into {list(limits)}")
    windows = [_Window.of(limit, state) for limit, state in zip(limits, states, strict=True)]
    spacing = max((window.spacing for window in windows), default=0) if spread else 0
    start = max([_micro(now), *(_micro(state.next_free) for state in states)])
    while (
        later := max((w.earliest(start, spacing, cost) for w in windows), default=start)
    ) > start:
        start = later
    if start > _micro(now) + _micro(horizon):
        return Wait((start - _micro(horizon)) / _MICRO)
    booked = tuple(window.booked(start, spacing, cost) for window in windows)
    return Grant(start / _MICRO, spacing / _MICRO, booked)


def largest_cost(limits: Sequence[Limit], *, spread: bool) -> int:
    """The most units one reservation may have; one by one, any number fits a short window."""
    return min(
        (limit.count for limit in limits if not (spread and _is_short(limit))), default=_UNBOUNDED
    )


def units_within(limits: Sequence[Limit], seconds: float) -> int:
    """Units that may leave in `seconds` of steady flow, at least one: a good size for a slice."""
    return max(1, min((_steady(limit, seconds) for limit in limits), default=_UNBOUNDED))


def units_left(limit: Limit, state: BucketState, now: float) -> int:
    """Units of the window that nobody has taken or reserved, as of `now` (seconds of the epoch)."""
    here = _micro(now) // _Window.of(limit, state).cell
    gone = min(max(0, here - state.cell_no), len(state.cells))
    return max(0, limit.count - sum(state.cells[gone:]))


class Turn(Enum):
    """Whose slice is reserved next."""

    URGENT = auto()
    LOWER = auto()


def pick(credit: int, urgent_cost: int | None, lower_cost: int | None) -> tuple[Turn | None, int]:
    """Whose turn it is, and the credit to store together with the grant it leads to (first: 0).

    Costs are those of the next slice of the most urgent lane and of all lanes below it, None where
    nobody waits. The most urgent goes first, and every unit it takes while others wait is a credit
    for them; once it pays for a slice of theirs, that one goes.
    """
    if urgent_cost is None:
        return (None if lower_cost is None else Turn.LOWER), 0
    if lower_cost is None:
        return Turn.URGENT, 0
    price = lower_cost * _URGENT_PER_LOWER
    if credit >= price:
        return Turn.LOWER, credit - price
    return Turn.URGENT, credit + urgent_cost


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """The share of a sender's flow that retries may take, so that they never crowd out first attempts.

    `rate`: units a second. `free`: the second of the Unix epoch from which their share is free again;
    store it. Over any W seconds slices of retries begin with at most `rate` * (W + RETRIES_AHEAD_S)
    units and one slice more, however large their slices are and however often anyone asks.
    """

    rate: float
    free: float

    @classmethod
    def of(cls, limits: Sequence[Limit], share: float, free: float) -> "RetryBudget":
        """`share` of what the tightest limit lets through in the long run."""
        rate = min((limit.count / limit.seconds for limit in limits), default=float("inf"))
        return cls(rate * share, free)

    def allows(self, now: float) -> bool:
        """Whether a slice of retries may begin at `now`, or later."""
        return self.free <= now + RETRIES_AHEAD_S

    def spent(self, start: float, cost: int) -> "RetryBudget":
        """What is left of it once a slice of `cost` units begins at `start`."""
        return RetryBudget(self.rate, max(self.free, start) + cost / self.rate)


@dataclass(frozen=True, slots=True)
class _Window:
    """A limit with its state, in whole microseconds."""

    count: int
    cell: int
    spacing: int
    state: BucketState

    @classmethod
    def of(cls, limit: Limit, state: BucketState) -> "_Window":
        cell = ceil(limit.seconds * _MICRO / _CELLS)
        spacing = -(-cell * (_CELLS + 1) // limit.count) if _is_short(limit) else 0
        return cls(limit.count, cell, spacing, state)

    def earliest(self, start: int, spacing: int, cost: int) -> int:
        """The first time from `start` on at which the units fit."""
        # By then every older unit has left the thirteen cells, and the cost alone fits.
        for _ in range(_CELLS + 2):
            if self._cells_with(start, spacing, cost) is not None:
                return start
            start = (start // self.cell + 1) * self.cell
        raise ValueError(f"{cost} units never fit into {self.count}")

    def booked(self, start: int, spacing: int, cost: int) -> BucketState:
        """The state once the units are counted; they must fit."""
        cells = self._cells_with(start, spacing, cost)
        if cells is None:
            raise ValueError("booked without asking for the earliest time")
        last = start + (cost - 1) * spacing
        free = max(last + self.spacing, start + cost * self.spacing)
        return BucketState(free / _MICRO, cells, last // self.cell)

    def _cells_with(self, start: int, spacing: int, cost: int) -> tuple[int, ...] | None:
        """The thirteen newest cells with the units added, None where any thirteen held too many."""
        cells, newest = self.state.cells, self.state.cell_no
        for number, units in self._by_cell(start, spacing, cost):
            if number < newest:
                raise ValueError("the state belongs to a window of another length")
            fresh = min(number - newest, len(cells))
            cells = cells[fresh:] + (0,) * fresh
            cells = (*cells[:-1], cells[-1] + units)
            if sum(cells) > self.count:
                return None
            newest = number
        return cells

    def _by_cell(self, start: int, spacing: int, cost: int) -> Iterator[tuple[int, int]]:
        """(number of the cell, units that leave in it), in order of time."""
        done = 0
        while done < cost:
            number = (start + done * spacing) // self.cell
            end = (number + 1) * self.cell
            upto = min(cost, -(-(end - start) // spacing)) if spacing else cost
            yield number, upto - done
            done = upto


def _is_short(limit: Limit) -> bool:
    return limit.seconds <= _SHORT_WINDOW_S


def _steady(limit: Limit, seconds: float) -> int:
    if not _is_short(limit):
        return limit.count
    return int(limit.count * seconds / limit.seconds * _CELLS / (_CELLS + 1))


def _micro(seconds: float) -> int:
    return round(seconds * _MICRO)
