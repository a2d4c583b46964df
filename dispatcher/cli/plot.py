"""A curve as text: braille dots for everyone, one line of blocks per channel. Readable without colour."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from dispatcher.stages.report.model import Curve

WIDTH: Final = 64
HEIGHT: Final = 10
_ANY: Final = "any"
_BRAILLE: Final = 0x2800
# Bit of each dot in a cell, by column and by row from the top.
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_LABEL: Final = 6

Points = Sequence[tuple[float, int]]


def plot(curve: Curve, *, width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """Lines of at most `width + 8` characters; empty where nobody has proof yet."""
    points = curve.series.get(_ANY, ())
    if not points or not curve.people:
        return []
    end = max(points[-1][0], 1.0)
    lines = [
        f"{label:>{_LABEL}} {'┤' if label.strip() else '│'}{row}"
        for label, row in zip(
            _levels(height), _dots(points, curve.people, end, width, height), strict=True
        )
    ]
    lines.append(f"{'0 %':>{_LABEL}} └{'─' * width}")
    lines.append(" " * (_LABEL + 2) + _ticks(end, width))
    return lines


def sparks(curve: Curve, *, width: int = 36) -> list[str]:
    """One line per channel: its climb, the share at the end, and when the last proof came."""
    points = curve.series.get(_ANY, ())
    if not points or not curve.people:
        return []
    end = max(points[-1][0], *(series[-1][0] for series in curve.series.values()), 1.0)
    lines = []
    for name, series in curve.series.items():
        shares = [_at(series, (n + 1) * end / width) / curve.people for n in range(width)]
        bars = "".join(_BLOCKS[round(share * (len(_BLOCKS) - 1))] for share in shares)
        last = f"{100 * series[-1][1] / curve.people:5.1f} %"
        lines.append(f"{name:<7}▕{bars}▏{last}  last after {span(series[-1][0])}")
    return lines


def span(seconds: float | None) -> str:
    """A duration for people: `0.8 s`, `42 s`, `3 min 05 s`, `2 h 10 min`; `-` for none."""
    if seconds is None:
        return "-"
    if seconds < 10:  # noqa: PLR2004 - tenths matter below ten seconds
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{whole} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _at(points: Points, seconds: float) -> int:
    """How many people had proof after so many seconds."""
    place = bisect_right(points, seconds, key=lambda point: point[0])
    return points[place - 1][1] if place else 0


def _levels(height: int) -> Iterator[str]:
    marked = {0: "100 %", height // 2: "50 %"}
    return (marked.get(row, "") for row in range(height))


def _dots(points: Points, people: int, end: float, width: int, height: int) -> list[str]:
    cells = [[0] * width for _ in range(height)]
    rows = height * 4
    before = rows - 1
    for column in range(width * 2):
        share = _at(points, (column + 1) * end / (width * 2)) / people
        level = rows - 1 - round(share * (rows - 1))
        # A step is drawn as a line, so that a sudden climb does not fall apart into dots.
        for row in range(min(level, before), max(level, before) + 1):
            cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
        before = level
    return ["".join(chr(_BRAILLE + cell) for cell in line).rstrip(chr(_BRAILLE)) for line in cells]


def _ticks(end: float, width: int) -> str:
    """Start, middle and end of the time axis."""
    left, middle, right = "0 s", span(end / 2), span(end)
    gap = max(1, width // 2 - len(left) - len(middle) // 2)
    text = left + " " * gap + middle
    return text + right.rjust(max(width - len(text), len(right) + 1))
