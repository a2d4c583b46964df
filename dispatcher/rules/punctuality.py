"""How late a message may leave, and how far ahead its moment is reserved so that it seldom does.

Pacing reserves a moment for each message; the limit holds as long as messages leave at theirs.
"""

from datetime import datetime, timedelta

# A window of W seconds is filled to 12/13, so that messages may stray by W/12 from their moments. No
# window is shorter than a second: that is 83 ms, of which the network gets what we leave.
LATE = timedelta(milliseconds=50)
# Where a unit takes less than this of the sender's rate, no limit binds: nobody here sends half a
# million a second. The same goes for windows so long that they ask for no spacing.
UNPACED_S = 2e-6
LATE_WHERE_UNPACED = timedelta(seconds=5)

_FIRST = timedelta(milliseconds=100)
_DOUBLINGS = 3


def is_late(start: datetime, now: datetime, spacing_s: float) -> bool:
    """Whether what was to leave at `start`, a unit every `spacing_s`, must wait for another moment."""
    return now - start > (LATE if spacing_s > UNPACED_S else LATE_WHERE_UNPACED)


def head_start(claims: int) -> timedelta:
    """How far ahead to reserve for a slice that was claimed this often before and did not leave.

    It grows, so that a slice gets through where everything takes long; half of it is for the intent.
    """
    return _FIRST * (1 << min(claims, _DOUBLINGS))
