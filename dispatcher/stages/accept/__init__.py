"""Take one update in: one transaction, all or nothing."""

from dispatcher.stages.accept.body import AudienceIn, IncidentIn, Status, UpdateIn
from dispatcher.stages.accept.stage import AcceptedUpdate, accept, release_draft

__all__ = [
    "AcceptedUpdate",
    "AudienceIn",
    "IncidentIn",
    "Status",
    "UpdateIn",
    "accept",
    "release_draft",
]
