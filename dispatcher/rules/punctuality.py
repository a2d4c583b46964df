"""How late a message may leave, and how far ahead its moment is reserved so that it seldom does.

Pacing reserves a moment for each message; the limit holds as long as messages leave at theirs.
"""

from datetime import datetime, timedelta

# A window of W seconds is filled to 12/13, so that messages may stray by W/12 from their moments. No
# window is shorter than a second: that is 83 ms, of which the network gets what we leave.
LATE = timedelta(milliseconds=50)

_FIRST = timedelta(milliseconds=200)
_DOUBLINGS = 3


def is_late(start: datetime, now: datetime) -> bool:
    """Whether what was to leave at `start` must wait for another moment."""
    return now - start > LATE


def head_start(claims: int) -> timedelta:
    """How far ahead to reserve for a slice that was claimed this often before and did not leave.

    It grows, so that a slice gets through where everything takes long; half of it is for the intent.
    """
    return _FIRST * (1 << min(claims, _DOUBLINGS))
