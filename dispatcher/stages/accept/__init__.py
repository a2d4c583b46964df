"""Take one update in: one transaction, all or nothing."""

from dispatcher.stages.accept.body import AudienceIn, IncidentIn, Status, UpdateIn
from dispatcher.stages.accept.stage import PUBLISHES, AcceptedUpdate, accept, release_draft

__all__ = [
    "PUBLISHES",
    "AcceptedUpdate",
    "AudienceIn",
    "IncidentIn",
    "Status",
    "UpdateIn",
    "accept",
    "release_draft",
]
