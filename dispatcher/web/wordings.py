"""Renderings as people read them, with the fallback phrase wherever a person's words will stand."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from channels.model import ChannelKind
from dispatcher.web.models import RenderingView
from templates.render import Rendering
from templates.slots import Filler, Person, Slot, fill, slots_from_json

_NOBODY = Person()


def fresh_view(rendering: Rendering) -> RenderingView:
    """A rendering just made, its texts only: HTML says the same and is long."""
    parts = {name: text for name, text in rendering.parts.items() if name != "html"}
    return RenderingView(
        segment=rendering.segment,
        channel=rendering.channel,
        locale=rendering.locale,
        parts=_filled(parts, rendering.slots),
        units=rendering.segments_worst or 1,
    )


def stored_view(row: Mapping[str, Any]) -> RenderingView:
    """A row of `rendering`, all its parts."""
    return RenderingView(
        segment=row["segment"] or None,
        channel=ChannelKind.from_code(row["channel"]),
        locale=row["locale"],
        parts=_filled(row["parts"], slots_from_json(row["slots"])),
        units=row["units"],
    )


def _filled(parts: Mapping[str, str], slots: Iterable[Slot]) -> dict[str, str]:
    values = Filler(slots).values(_NOBODY)
    empty = [tag for tag, value in values.items() if not value]
    return {name: fill(_without_labels(text, empty), values) for name, text in parts.items()}


def _without_labels(text: str, empty: Iterable[str]) -> str:
    """Without the lines that only say what would stand behind them: `Stop e-mails: `."""
    for tag in empty:
        text = re.sub(rf"^[^\n]*: {re.escape(tag)}(\n+|$)", "", text, flags=re.MULTILINE)
    return text
