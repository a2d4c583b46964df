"""Policy and the update's own narrowing, put together as the question that segments answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from channels.model import ChannelKind
from dispatcher.rules.policy import Policy, Severity
from segments.model import AudienceQuery
from segments.rules import Rules


def audience_query(
    policy: Policy,
    segment_rules: Rules,
    *,
    severity: Severity,
    visibility: str,
    component_ids: Sequence[int],
    audience: Mapping[str, Any],
) -> AudienceQuery:
    """`audience` is the stored form: segments (names), regions, account_ids and exclude (numbers)."""
    pairs = [
        (segment, kind.code)
        for segment, kinds in policy.channel_map(segment_rules.segments, severity).items()
        for kind in kinds
        if kind is not ChannelKind.SOCIAL
    ]
    return AudienceQuery(
        rule_segments=tuple(segment for segment, _ in pairs),
        rule_channels=tuple(channel for _, channel in pairs),
        rule_roles=("",) * len(pairs),
        component_ids=tuple(component_ids),
        regions=tuple(audience.get("regions", ())),
        account_ids=tuple(audience.get("account_ids", ())),
        exclude_account_ids=tuple(audience.get("exclude", ())),
        segments=tuple(audience.get("segments", ())),
        always_segments=tuple(segment_rules.always_segments),
        visibility=visibility,
        quiet_binds=policy.of(severity).quiet_hours_bind,
    )
