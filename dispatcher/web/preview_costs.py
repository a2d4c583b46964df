"""How many messages, how many segments, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from channels.model import ChannelKind
from channels.sms_segments import segments
from dispatcher.config.preview import SmsPrices
from dispatcher.web.preview_models import (
    AudienceCount,
    PreviewRendering,
    SmsCost,
    SmsSize,
    SmsTotal,
    Totals,
)
from segments.dialled import Dialled
from templates.render import Rendering
from templates.slots import fill


def sms_size(rendering: Rendering) -> SmsSize:
    """What a text takes at least and at most."""
    text = rendering.parts["text"]
    shortest, longest = (
        segments(fill(text, {slot.tag: getattr(slot, bound) for slot in rendering.slots}))
        for bound in ("shortest", "longest")
    )
    return SmsSize(
        encoding=longest.encoding,
        units_minimum=shortest.units,
        units_maximum=longest.units,
        segments_minimum=shortest.count,
        segments_maximum=longest.count,
    )


def totals(
    counts: Sequence[AudienceCount],
    renderings: Sequence[PreviewRendering],
    texts: Sequence[Dialled],
    prices: SmsPrices,
) -> Totals:
    """Messages of everybody who can be reached. `texts`: by how the numbers begin, or '' for any."""
    told = {
        kind: sum(row.people for row in counts if row.channel == kind and row.reason is None)
        for kind in (ChannelKind.EMAIL, ChannelKind.BANNER)
    }
    sizes = {row.segment or "": row.sms for row in renderings if row.sms is not None}
    return Totals(
        emails=told[ChannelKind.EMAIL],
        banners=told[ChannelKind.BANNER],
        posts=sum(row.channel == ChannelKind.SOCIAL for row in renderings),
        sms=_sms_total(texts, sizes, prices),
    )


@dataclass(slots=True)
class _Sum:
    """Texts added up; the minimum and the maximum move together."""

    texts: int = 0
    segments: tuple[int, int] = (0, 0)
    cost: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    unpriced: int = 0

    def add(self, n: int, size: SmsSize, price: Decimal | None) -> None:
        least, most = n * size.segments_minimum, n * size.segments_maximum
        self.texts += n
        self.segments = (self.segments[0] + least, self.segments[1] + most)
        if price is None:
            self.unpriced += n
        else:
            self.cost = (self.cost[0] + least * price, self.cost[1] + most * price)


def _sms_total(
    texts: Sequence[Dialled], sizes: Mapping[str, SmsSize], prices: SmsPrices
) -> SmsTotal:
    found = _Sum()
    for item in texts:
        if item.segment in sizes:
            found.add(item.n, sizes[item.segment], prices.of(item.beginning))
    priced = prices.is_set and (not found.texts or found.unpriced < found.texts)
    return SmsTotal(
        texts=found.texts,
        segments_minimum=found.segments[0],
        segments_maximum=found.segments[1],
        cost=SmsCost(
            currency=prices.currency,
            minimum=f"{found.cost[0]:f}",
            maximum=f"{found.cost[1]:f}",
            unpriced_texts=found.unpriced,
        )
        if priced
        else None,
    )
