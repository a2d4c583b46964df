"""What is counted where it happens; the process that did it exports it, Prometheus adds them up."""

from collections.abc import Collection
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from dispatcher.metrics.weighted import WeightedHistogram

OTHER: Final = "other"
PUBLIC: Final = "public"
"""The segment of what is said to everybody."""

UPDATES: Final = Counter(
    "tidings_updates",
    "Updates taken in over HTTP; outcome is accepted, draft, replayed or dry_run.",
    ["source", "outcome"],
)
INTAKE_REJECTED: Final = Counter(
    "tidings_intake_rejected",
    "Updates and callbacks refused at the door; reason is the kind of the problem.",
    ["source", "reason"],
)
RECEIPTS: Final = Counter(
    "tidings_receipts", "Facts about our messages that a provider reported.", ["provider"]
)
RECEIPTS_UNMATCHED: Final = Counter(
    "tidings_receipts_unmatched",
    "Facts with a key of ours for which no delivery turned up within a quarter of an hour.",
    ["channel"],
)
DELIVERIES: Final = Counter(
    "tidings_deliveries",
    "Deliveries that came to a status after they were planned; one may come to several in turn.",
    ["channel", "status"],
)
TIME_TO_NOTIFY: Final = WeightedHistogram(
    "tidings_time_to_notify_seconds",
    "From the moment an update was on its way until the provider had taken the message.",
    ("channel", "segment"),
    (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
)
DEADLINE_MISSED: Final = Counter(
    "tidings_deadline_missed",
    "First notices that left after the promise of their severity.",
    ["segment"],
)
RATE_LIMIT_WAIT: Final = Histogram(
    "tidings_rate_limit_wait_seconds",
    "How long a slice waited for the moment its sender's limits allow.",
    ["channel"],
    buckets=(0.5, 1, 2.5, 5, 15, 30, 60, 300, 900, 3600),
)
SLICES_HELD: Final = Counter(
    "tidings_slices_held", "Slices put aside: claimed again and again without being sent."
)
WEBHOOK_ATTEMPTS: Final = Counter(
    "tidings_webhook_attempts",
    "Messages sent to endpoints of webhooks; outcome is ok or what failed.",
    ["event", "outcome"],
)
WEBHOOKS_DISABLED: Final = Counter(
    "tidings_webhooks_disabled",
    "Endpoints of webhooks disabled without a person: gone, or failing for five days.",
    ["why"],
)
BANNER_STREAMS: Final = Gauge("tidings_banner_streams", "Open banner streams of this process.")


def one_of(value: str, known: Collection[str]) -> str:
    """`value` where the set has it, else `other`: labels must not grow with what others send."""
    return value if value in known else OTHER
