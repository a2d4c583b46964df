"""Release: the one home of pacing; waiting slices get their moment."""

from dispatcher.stages.release.events import PUBLISHES, released_event
from dispatcher.stages.release.stage import run

__all__ = ["PUBLISHES", "released_event", "run"]
