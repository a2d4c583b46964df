"""Telling other systems what happens here: call `announce` in the transaction in which it does.

Sending is for `dispatcher/stages/webhooks`; this is the one way in.
"""

from dispatcher.announce.happenings import dispatch_ended, update_published
from dispatcher.announce.model import (
    BODY_LIMIT,
    MODELS,
    MOST_COMPONENTS,
    MOST_FAILURES,
    SUBSCRIBABLE,
    Data,
    DeliveryFailed,
    DispatchCompleted,
    EventType,
    FailedDelivery,
    Outside,
    SourceError,
    UpdatePublished,
    WebhookTest,
    body_of,
    stored,
)
from dispatcher.announce.outbox import announce, announce_all, wanted

__all__ = [
    "BODY_LIMIT",
    "MODELS",
    "MOST_COMPONENTS",
    "MOST_FAILURES",
    "SUBSCRIBABLE",
    "Data",
    "DeliveryFailed",
    "DispatchCompleted",
    "EventType",
    "FailedDelivery",
    "Outside",
    "SourceError",
    "UpdatePublished",
    "WebhookTest",
    "announce",
    "announce_all",
    "body_of",
    "dispatch_ended",
    "stored",
    "update_published",
    "wanted",
]
