"""The canary: an ordinary message to nobody, every minute, whose silence tells that something stopped."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from channels.model import ChannelKind
from dispatcher.rules.policy import Policy, Severity

CANARY: Final = "tidings:canary"
"""External id of its account and of its contact, in nobody's lists."""
SOURCE: Final = "tidings"
# Its lane goes before what is slow, and shares its senders with a P0; within it the newest goes first. So
# it leaves when a customer's message would, and no fan-out, however large, keeps it for long.
SEVERITY: Final = Severity.P1
SILENT_AFTER: Final = 3
"""So many of them in a row without proof are silence; none of them is worth sending any more by then."""


def channels_with_canary(
    policy: Policy, segment: str, wanted: Collection[ChannelKind]
) -> frozenset[ChannelKind]:
    """Of the wanted channels those that the policy uses for a canary of that segment."""
    return frozenset(wanted) & set(policy.channels_for(segment, SEVERITY))


def canary_update(segment: str, *, every_s: float, now: datetime) -> dict[str, Any]:
    """One canary as an upstream would post it: an incident of its own, for its account alone."""
    until = now + timedelta(seconds=SILENT_AFTER * every_s)
    return {
        "source": SOURCE,
        "incident": {
            "external_id": f"canary {now.isoformat()}",
            "severity": SEVERITY.name,
            "visibility": "accounts",
        },
        "status": "investigating",
        "facts": {
            "title": "A test of our notifications",
            "impact": "Nothing is wrong. This message shows that messages arrive.",
            "next_update_by": until.isoformat(),
        },
        # Named with the segment, or segments that are always told would be told of it too.
        "audience": {"segments": [segment], "account_ids": [CANARY]},
    }
