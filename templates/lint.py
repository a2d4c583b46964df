"""Shape errors of a set of renderings: what no author's style can excuse."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import unescape

from channels.model import ChannelKind
from templates.facts import Facts, facts_hash
from templates.occasion import Kind, Occasion
from templates.phrases import next_update
from templates.rendering import Rendering
from templates.short import BANNER_BODY_LIMIT, BANNER_TITLE_LIMIT, SMS_LIMIT, SOCIAL_LIMIT
from templates.slots import fill

_LEFT_OVER = re.compile(r"\{\{|\}\}|\{%|%\}|\[(?:TODO|TBD|INSERT|NAME)\b|\bTODO\b|\bTBD\b|\bXXX+\b")
_INSECURE = re.compile(r"\b(?:http|ftp)://[^\s\"'<>]+", re.IGNORECASE)
_MARKUP = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)
_SUBJECT_LIMIT = 400  # far beyond what is displayed; header lines end at 998 bytes


class Level(StrEnum):
    """Whether a finding stops the update."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong with one part of one rendering. `detail` says what, for the author."""

    rule: str
    level: Level
    channel: ChannelKind
    segment: str | None
    part: str
    detail: str


def lint(renderings: Sequence[Rendering], facts: Facts, occasion: Occasion) -> list[Finding]:
    """Everything wrong with `renderings` as the words of `facts`; empty when all is well."""
    digest, promise = facts_hash(facts), None
    if occasion.kind is not Kind.RESOLVED:
        promise = next_update(facts, occasion)
    return [
        Finding(
            rule=rule,
            level=Level.ERROR,
            channel=rendering.channel,
            segment=rendering.segment,
            part=part,
            detail=detail,
        )
        for rendering in renderings
        for rule, part, detail in (
            *_length(rendering),
            *_left_over(rendering),
            *_insecure(rendering, occasion),
            *_promise(rendering, occasion, promise),
            *_contradiction(rendering, occasion, digest),
        )
    ]


_Fault = tuple[str, str, str]


def _length(rendering: Rendering) -> Iterator[_Fault]:
    parts = rendering.parts
    limits = {"subject": _SUBJECT_LIMIT}
    if rendering.channel is ChannelKind.BANNER:
        limits = {"title": BANNER_TITLE_LIMIT, "body": BANNER_BODY_LIMIT}
    for part, limit in limits.items():
        if len(parts.get(part, "")) > limit:
            yield "length", part, f"{len(parts[part])} characters; at most {limit} fit"
    if (rendering.segments_worst or 0) > SMS_LIMIT:
        yield "length", "text", f"{rendering.segments_worst} SMS segments; at most {SMS_LIMIT}"
    if (rendering.weighted_length or 0) > SOCIAL_LIMIT:
        yield "length", "text", f"{rendering.weighted_length} weighted; at most {SOCIAL_LIMIT}"


def _left_over(rendering: Rendering) -> Iterator[_Fault]:
    for part, text in rendering.parts.items():
        filled = fill(text, dict.fromkeys((slot.tag for slot in rendering.slots), ""))
        found = _LEFT_OVER.search(_readable(part, filled))
        if found:
            yield "placeholder", part, f"'{found[0]}' looks like a placeholder nobody filled in"


def _insecure(rendering: Rendering, occasion: Occasion) -> Iterator[_Fault]:
    for part, text in rendering.parts.items():
        readable = unescape(text).replace(occasion.incident_url, "")
        found = _INSECURE.search(readable)
        if found:
            yield "link", part, f"{found[0]} is not an https link"


def _promise(rendering: Rendering, occasion: Occasion, promise: str | None) -> Iterator[_Fault]:
    if occasion.kind is Kind.RESOLVED:
        return
    for part in _telling(rendering):
        if promise is None:
            yield "next-update", part, "does not say when the next update comes"
        elif promise not in _readable(part, rendering.parts[part]):
            yield "contradiction", part, f"the next update is promised by {promise}, but not here"


def _contradiction(rendering: Rendering, occasion: Occasion, digest: str) -> Iterator[_Fault]:
    if rendering.facts_hash != digest:
        yield "contradiction", "", "made from other facts than the rest of the set"
    linking = ("url",) if rendering.channel is ChannelKind.BANNER else _telling(rendering)
    for part in linking:
        if occasion.incident_url not in unescape(rendering.parts[part]):
            yield "contradiction", part, "does not link the page of the incident"


def _telling(rendering: Rendering) -> Sequence[str]:
    """The parts that carry the whole message on their own."""
    parts: Mapping[ChannelKind, Sequence[str]] = {
        ChannelKind.EMAIL: ("html", "text"),
        ChannelKind.SMS: ("text",),
        ChannelKind.SOCIAL: ("text",),
        ChannelKind.BANNER: ("body",),
    }
    return parts[rendering.channel]


def _readable(part: str, text: str) -> str:
    """What a person reads of `text`."""
    return unescape(_MARKUP.sub(" ", text)) if part == "html" else text
