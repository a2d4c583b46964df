"""Take one update in: one transaction, all or nothing."""

from dispatcher.stages.accept.body import AudienceIn, IncidentIn, Status, UpdateIn
from dispatcher.stages.accept.drafts import Extension, extend_draft, withdraw_draft
from dispatcher.stages.accept.stage import PUBLISHES, AcceptedUpdate, accept, release_draft

__all__ = [
    "PUBLISHES",
    "AcceptedUpdate",
    "AudienceIn",
    "Extension",
    "IncidentIn",
    "Status",
    "UpdateIn",
    "accept",
    "extend_draft",
    "release_draft",
    "withdraw_draft",
]
