"""Take one update in: one transaction, all or nothing; and what becomes of one that waits as a draft."""

from dispatcher.stages.accept.body import AudienceIn, DraftPatch, IncidentIn, Status, UpdateIn
from dispatcher.stages.accept.drafts import (
    Change,
    Extension,
    Hand,
    decided_on,
    discard_draft,
    extend_draft,
    lock_draft,
    record,
    require_draft,
    withdraw_draft,
)
from dispatcher.stages.accept.edit import edit_draft, release_draft, shown_audience
from dispatcher.stages.accept.stage import PUBLISHES, AcceptedUpdate, accept

__all__ = [
    "PUBLISHES",
    "AcceptedUpdate",
    "AudienceIn",
    "Change",
    "DraftPatch",
    "Extension",
    "Hand",
    "IncidentIn",
    "Status",
    "UpdateIn",
    "accept",
    "decided_on",
    "discard_draft",
    "edit_draft",
    "extend_draft",
    "lock_draft",
    "record",
    "release_draft",
    "require_draft",
    "shown_audience",
    "withdraw_draft",
]
