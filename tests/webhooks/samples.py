"""One event of each type, as the guide shows it: an installation's ids, but always the same ones."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from dispatcher.announce import (
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
from dispatcher.ids import Signer

AT: Final = datetime(2026, 11, 22, 13, 42, 7, tzinfo=UTC)
OUTSIDE: Final = Outside(Signer(b"documentation"), "https://tidings.example.com")
_IDS: Final[dict[str, Any]] = {
    "incident_id": 42,
    "update_id": 95_648_392_118_272_001,
    "dispatch_id": 107,
    "source": "monitoring",
    "external_id": "INC-42",
}

SAMPLES: Final[Mapping[EventType, Data]] = {
    EventType.UPDATE_PUBLISHED: UpdatePublished(
        **_IDS,
        revision=1,
        kind="acknowledgement",
        status="investigating",
        severity="P1",
        visibility="customers",
        title="Some customers cannot check out",
        impact="About one in five card payments fails at checkout.",
        component_ids=("checkout",),
        next_update_by=datetime(2026, 11, 22, 14, 30, tzinfo=UTC),
    ),
    EventType.DISPATCH_COMPLETED: DispatchCompleted(
        **_IDS,
        outcome="completed",
        started_at=datetime(2026, 11, 22, 13, 40, tzinfo=UTC),
        ended_at=AT,
        total=2_310,
        deliveries={"accepted": 41, "delivered": 2_248, "failed": 19, "unconfirmed": 2},
        report_url=107,
    ),
    EventType.DELIVERY_FAILED: DeliveryFailed(
        **_IDS,
        reasons={
            "no_proof": "It may or may not have left; the provider could not say",
            "unknown_address": "The address does not exist",
        },
        deliveries=(
            FailedDelivery(
                account="acme",
                contact="acme-7",
                channel="email",
                purpose="notice",
                status="failed",
                reason="unknown_address",
                at=datetime(2026, 11, 22, 13, 41, 3, tzinfo=UTC),
            ),
            FailedDelivery(
                account="globex",
                contact="globex-1",
                channel="sms",
                purpose="notice",
                status="unconfirmed",
                reason="no_proof",
                at=datetime(2026, 11, 22, 13, 42, 1, tzinfo=UTC),
            ),
        ),
    ),
    EventType.SOURCE_ERROR: SourceError(
        source_id=3,
        name="pagerduty",
        kind="pagerduty",
        error="forged",
        detail="X-PagerDuty-Signature does not fit the secret",
        count=12,
        since=datetime(2026, 11, 22, 13, 1, 44, tzinfo=UTC),
    ),
    EventType.WEBHOOK_TEST: WebhookTest(),
}


def shown(event_type: EventType) -> Any:
    """The body of the sample, as JSON."""
    kept = stored(SAMPLES[event_type])
    return orjson.loads(body_of(event_type, kept, at=AT, outside=OUTSIDE))


if __name__ == "__main__":
    import sys

    for kind in EventType:
        sys.stdout.write(orjson.dumps(shown(kind), option=orjson.OPT_INDENT_2).decode() + "\n\n")
