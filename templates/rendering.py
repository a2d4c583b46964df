"""One finished wording: what is approved, stored, hashed and handed to a channel."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from channels.model import ChannelKind
from templates.slots import Slot, slots_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """The facts in words for one segment (None: everybody), channel and locale.

    `parts`: e-mail subject, html, text; SMS and social text; banner severity, title, body, url,
    link_text, resolved. `hash` covers everything but itself and `facts_hash`. `segments_worst`:
    SMS segments with the longest values in every slot; `weighted_length`: of a social post.
    """

    segment: str | None
    channel: ChannelKind
    locale: str
    parts: Mapping[str, str]
    slots: tuple[Slot, ...]
    hash: str
    facts_hash: str
    segments_worst: int | None = None
    weighted_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What one channel's words came to, before it is known to be part of a set."""

    parts: Mapping[str, str]
    slots: tuple[Slot, ...] = ()
    segments_worst: int | None = None
    weighted_length: int | None = None


def sealed(
    wording: Wording, *, segment: str | None, channel: ChannelKind, locale: str, facts_hash: str
) -> Rendering:
    """The rendering of `wording`, with its hash."""
    content = {
        "segment": segment,
        "channel": channel,
        "locale": locale,
        "parts": dict(wording.parts),
        "slots": slots_to_json(wording.slots),
    }
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return Rendering(
        segment=segment,
        channel=channel,
        locale=locale,
        parts=wording.parts,
        slots=wording.slots,
        hash=hashlib.sha256(canonical).hexdigest(),
        facts_hash=facts_hash,
        segments_worst=wording.segments_worst,
        weighted_length=wording.weighted_length,
    )
