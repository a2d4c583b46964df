"""Plan: audience × policy → deliveries and waiting slices, in committed ranges with a cursor."""

from dispatcher.stages.plan.stage import PUBLISHES, run

__all__ = ["PUBLISHES", "run"]
