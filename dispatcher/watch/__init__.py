"""What stands still: facts of the database, what is to be thought of them, and who says so in the log.

Readiness, metrics, the log and `tidings doctor` all show the same checks, in the same words.
"""

from dispatcher.watch.checks import (
    Check,
    State,
    listener,
    standing,
    workers,
)
from dispatcher.watch.facts import Facts, look
from dispatcher.watch.lookout import Lookout, between_looks
from dispatcher.watch.sql import WORKERS_SQL
from dispatcher.watch.turn import Watch

__all__ = [
    "WORKERS_SQL",
    "Check",
    "Facts",
    "Lookout",
    "State",
    "Watch",
    "between_looks",
    "listener",
    "look",
    "standing",
    "workers",
]
