"""What would leave, and what it would cost: the answer of a preview, of a draft or of a body not posted."""

from typing import Literal

from pydantic import BaseModel

from dispatcher.web.models import RenderingView


class AudienceCount(BaseModel):
    """How many people of a segment on a channel; `reason` is null where they would be told."""

    segment: str
    channel: str
    reason: str | None
    reason_text: str | None
    people: int


class SlotView(BaseModel):
    """A gap that differs from person to person: `fallback` stands where nothing is known of one."""

    name: str
    part: str
    max_length: int
    fallback: str


class SmsSize(BaseModel):
    """What one text takes, with the shortest and with the longest words in its slots.

    `units` are septets of GSM-7 or UTF-16 units of UCS-2; `segments` is what is billed.
    """

    encoding: Literal["GSM-7", "UCS-2"]
    units_minimum: int
    units_maximum: int
    segments_minimum: int
    segments_maximum: int


class PreviewRendering(RenderingView):
    """One wording, with fallbacks in its slots. `weighted_length` is of a post; 280 fit."""

    slots: list[SlotView]
    sms: SmsSize | None
    weighted_length: int | None


class LintFinding(BaseModel):
    """One thing wrong with one part of one wording."""

    rule: str
    level: str
    channel: str
    segment: str | None
    part: str
    detail: str


class PreviewFinding(BaseModel):
    """What stands in the way (`error`), or is good to know (`warn`); `pointer` leads to the field."""

    code: str
    level: Literal["error", "warn"]
    pointer: str
    detail: str


class SmsCost(BaseModel):
    """An estimate: exact decimals, as texts. `unpriced_texts` are not in it: their price is not set."""

    currency: str
    minimum: str
    maximum: str
    unpriced_texts: int


class SmsTotal(BaseModel):
    """All texts. `cost` is null where the price of none of them is known."""

    texts: int
    segments_minimum: int
    segments_maximum: int
    cost: SmsCost | None


class Totals(BaseModel):
    """Messages that would leave, if everybody who can be reached is."""

    emails: int
    banners: int
    posts: int
    sms: SmsTotal


class Preview(BaseModel):
    """What would leave, if it left now; nothing of it is stored.

    `version` is the ETag of the draft that was looked at: submit it with If-Match, and what leaves is
    what was seen. `ready`: nothing stands in the way. `totals` is null where people could not be
    counted, or there are no words yet.
    """

    mode: Literal["dry_run", "draft"]
    version: str | None
    kind: str
    ready: bool
    missing: list[str]
    findings: list[PreviewFinding]
    audience: list[AudienceCount]
    totals: Totals | None
    renderings: list[PreviewRendering]
    lint: list[LintFinding]
