"""What this installation has: segments, and words."""

from channels.model import ChannelKind
from dispatcher.rules.canary import CANARY
from dispatcher.rules.own import OWN_ACCOUNT
from dispatcher.web.answers import Reply
from dispatcher.web.lists import PageQuery, whole_reply
from dispatcher.web.models import (
    SegmentPage,
    SegmentRule,
    SegmentView,
    TemplatePage,
    TemplateView,
)
from dispatcher.web.routing import Call
from segments.rules import Rules
from templates.words import voice

SEGMENTS_SQL = f"""
select segment, count(*) as n from account
where removed_at is null and external_id <> '{CANARY}' group by segment
"""
OWN_SEGMENTS_SQL = f"""
select segment, count(*) as n from account
where removed_at is null and external_id <> '{CANARY}' and id {OWN_ACCOUNT} group by segment
"""


async def list_segments(call: Call[None, PageQuery]) -> Reply:
    """Segments in the order of their rules, with the number of accounts in each that the caller may see."""
    rules = call.ctx.segment_rules
    async with call.connection() as conn:
        sql = OWN_SEGMENTS_SQL if call.caller.limited else SEGMENTS_SQL
        counts = {row["segment"]: row["n"] for row in await conn.fetch(sql)}
    views = [
        SegmentView(
            name=name,
            always=name in rules.always_segments,
            accounts=counts.get(name, 0),
            rules=_leading_to(name, rules),
        )
        for name in rules.segments
    ]
    return whole_reply(call, views, [(view.name,) for view in views], SegmentPage)


def _leading_to(segment: str, rules: Rules) -> list[SegmentRule]:
    return [
        SegmentRule(
            name=rule.name,
            when=[
                item.model_dump(mode="json", by_alias=True, exclude_unset=True)
                for item in rule.conditions
            ],
        )
        for rule in rules.rules
        if rule.segment == segment
    ]


async def list_templates(call: Call[None, PageQuery]) -> Reply:
    """Whose words each segment reads on each channel; segments of your own read a small customer's."""
    named = [
        TemplateView(
            channel=kind, segment=segment, voice=voice(segment), file=f"{kind}/{voice(segment)}.j2"
        )
        for kind in ChannelKind
        if kind is not ChannelKind.SOCIAL
        for segment in call.ctx.segment_rules.segments
    ]
    public = TemplateView(
        channel=ChannelKind.SOCIAL, segment=None, voice="public", file="social/public.j2"
    )
    views = [*named, public]
    keys = [(view.channel, view.segment or "") for view in views]
    return whole_reply(call, views, keys, TemplatePage)
