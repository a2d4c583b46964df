"""Send: claim → intent → provider call without a database connection → record."""

from dispatcher.stages.send.stage import PUBLISHES, run

__all__ = ["PUBLISHES", "run"]
