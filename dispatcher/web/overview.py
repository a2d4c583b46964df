"""What this installation has: channels with what is left of their limits, segments, and words."""

from collections import defaultdict

import asyncpg

from channels.model import ChannelKind
from channels.pacing import BucketState, Limit, units_left
from dispatcher.rules.canary import CANARY
from dispatcher.rules.own import OWN_ACCOUNT
from dispatcher.web.answers import Reply
from dispatcher.web.lists import PageQuery, whole_reply
from dispatcher.web.models import (
    ChannelPage,
    ChannelView,
    SegmentPage,
    SegmentRule,
    SegmentView,
    Sender,
    TemplatePage,
    TemplateView,
    Window,
)
from dispatcher.web.routing import Call
from segments.rules import Rules
from templates.words import voice

SENDERS_SQL = """
select id, channel, provider, identity, configured, limits, paused_until, paused_why from sender
order by channel, configured desc, id
"""
BUCKETS_SQL = "select sender_id, seconds, next_free, cells, cell_no from bucket"
SEGMENTS_SQL = f"""
select segment, count(*) as n from account
where removed_at is null and external_id <> '{CANARY}' group by segment
"""
OWN_SEGMENTS_SQL = f"""
select segment, count(*) as n from account
where removed_at is null and external_id <> '{CANARY}' and id {OWN_ACCOUNT} group by segment
"""


async def list_channels(call: Call[None, PageQuery]) -> Reply:
    """Limits, what is left of them now, and what is paused and why."""
    now = call.ctx.now()
    async with call.connection() as conn:
        senders = await conn.fetch(SENDERS_SQL)
        # What is left tells how much was sent to all customers.
        rows = [] if call.caller.limited else await conn.fetch(BUCKETS_SQL)
    states = {
        (row["sender_id"], row["seconds"]): BucketState(
            row["next_free"], tuple(row["cells"]) or BucketState().cells, row["cell_no"]
        )
        for row in rows
    }
    found: dict[int, list[Sender]] = defaultdict(list)
    configured = {ChannelKind.BANNER.code}  # nothing is sent, so nothing needs credentials
    for row in senders:
        if row["configured"]:
            configured.add(row["channel"])
        paused = row["paused_until"] is not None and row["paused_until"] > now
        found[row["channel"]].append(
            Sender(
                provider=row["provider"],
                identity=row["identity"],
                windows=_windows(row, None if call.caller.limited else states, now.timestamp()),
                paused_until=row["paused_until"] if paused else None,
                paused_why=row["paused_why"] if paused else None,
            )
        )
    views = [
        ChannelView(channel=kind, configured=kind.code in configured, senders=found[kind.code])
        for kind in ChannelKind
    ]
    return whole_reply(call, views, [(view.channel,) for view in views], ChannelPage)


def _windows(
    sender: asyncpg.Record, states: dict[tuple[int, int], BucketState] | None, now: float
) -> list[Window]:
    windows = []
    for item in sender["limits"]:
        left = None
        if states is not None:
            limit = Limit(item["count"], item["seconds"])
            state = states.get((sender["id"], item["seconds"]), BucketState())
            left = units_left(limit, state, now)
        windows.append(Window(limit=item["count"], seconds=item["seconds"], left=left))
    return windows


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
