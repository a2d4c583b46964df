"""Track: stored receipts become evidence. Evidence is a set, so order and repetition cannot matter."""

from dispatcher.stages.track.arrival import STORE_SQL, store
from dispatcher.stages.track.parking import look_again
from dispatcher.stages.track.stage import MAX_TRIES, PUBLISHES, apply_some, run

__all__ = ["MAX_TRIES", "PUBLISHES", "STORE_SQL", "apply_some", "look_again", "run", "store"]
