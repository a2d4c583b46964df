"""A preview in a terminal: of a draft, or of an update that is not posted."""

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.cli.base import console, print_json, table
from dispatcher.cli.plain import counted, say
from dispatcher.web.preview_models import Preview, PreviewRendering, Totals


def print_preview(found: Preview, *, as_json: bool) -> None:
    """Numbers, costs, what stands in the way, and every wording."""
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if found.missing:
        say(f"A draft: {', '.join(found.missing)} missing, nothing would be sent.")
    print_counts([row.model_dump(mode="json") for row in found.audience])
    if found.totals:
        say(summed_up(found.totals))
    for finding in found.findings:
        say(f"{finding.level}: {finding.code}: {finding.detail}")
    for item in found.lint:
        say(f"{item.level}: {item.rule}: {item.detail}")
    for rendering in found.renderings:
        _print_rendering(rendering)


def print_counts(rows: Sequence[dict[str, Any]]) -> None:
    """Audience numbers as a table; also of a dry run."""
    cells = [
        (row["segment"], row["channel"], row["people"], row["reason"] or "would be told")
        for row in rows
    ]
    console().print(table(("segment", "channel", "people", "outcome"), cells, right=("people",)))


def summed_up(totals: Totals) -> str:
    """How many messages, and what the texts cost, in a sentence."""
    sms, cost = totals.sms, ""
    if sms.cost is not None:
        cost = f", {_span(sms.cost.minimum, sms.cost.maximum)} {sms.cost.currency}"
    return (
        f"{counted(totals.emails, 'mail')}, {counted(sms.texts, 'text')} "
        f"({_segments(sms.segments_minimum, sms.segments_maximum)}{cost}), "
        f"{counted(totals.posts, 'post')}, {counted(totals.banners, 'banner')}."
    )


def _print_rendering(rendering: PreviewRendering) -> None:
    size = ""
    if rendering.sms:
        least, most = rendering.sms.segments_minimum, rendering.sms.segments_maximum
        size = f" · {rendering.sms.encoding}, {_segments(least, most)}"
    elif rendering.weighted_length is not None:
        size = f" · {rendering.weighted_length} of 280"
    print_words(f"{rendering.segment or 'public'} · {rendering.channel}{size}", rendering.parts)


def print_words(head: str, parts: Mapping[str, str]) -> None:
    """One wording as text, under a line that says whose it is."""
    say(f"\n{f'── {head} ':─<79}")
    for name in ("subject", "title"):
        if name in parts:
            say(f"{name.capitalize()}: {parts[name]}\n")
    say((parts.get("text") or parts.get("body", "")).strip())


def _segments(least: int, most: int) -> str:
    return counted(least, "segment") if least == most else f"{least} to {most} segments"


def _span(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"
