"""Numbers that this process counts about itself, under the names Prometheus sees.

Counted once a slice, batch or request, never once a recipient. Every label comes from a closed set,
what is not in it is `other`, and none says anything about a person. What is a fact of the database
(queues, workers, senders) is read where it is asked for: `dispatcher.watch`.
"""

from dispatcher.metrics.counted import (
    BANNER_STREAMS,
    DEADLINE_MISSED,
    DELIVERIES,
    INTAKE_REJECTED,
    OTHER,
    PUBLIC,
    RATE_LIMIT_WAIT,
    RECEIPTS,
    RECEIPTS_UNMATCHED,
    SLICES_HELD,
    TIME_TO_NOTIFY,
    UPDATES,
    WEBHOOK_ATTEMPTS,
    WEBHOOKS_DISABLED,
    one_of,
)
from dispatcher.metrics.requests import timed_requests

__all__ = [
    "BANNER_STREAMS",
    "DEADLINE_MISSED",
    "DELIVERIES",
    "INTAKE_REJECTED",
    "OTHER",
    "PUBLIC",
    "RATE_LIMIT_WAIT",
    "RECEIPTS",
    "RECEIPTS_UNMATCHED",
    "SLICES_HELD",
    "TIME_TO_NOTIFY",
    "UPDATES",
    "WEBHOOKS_DISABLED",
    "WEBHOOK_ATTEMPTS",
    "one_of",
    "timed_requests",
]
