"""A preview in a terminal: of a draft, or of an update that is not posted."""

from collections.abc import Mapping

import typer

from dispatcher.cli.audience import print_counts
from dispatcher.cli.base import print_json
from dispatcher.web.preview_models import Preview, PreviewRendering, Totals


def print_preview(found: Preview, *, as_json: bool) -> None:
    """Numbers, costs, what stands in the way, and every wording."""
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if found.missing:
        typer.echo(f"A draft: {', '.join(found.missing)} missing, nothing would be sent.")
    print_counts([row.model_dump(mode="json") for row in found.audience])
    if found.totals:
        typer.echo(summed_up(found.totals))
    for finding in found.findings:
        typer.echo(f"{finding.level}: {finding.code}: {finding.detail}")
    for item in found.lint:
        typer.echo(f"{item.level}: {item.rule}: {item.detail}")
    for rendering in found.renderings:
        _print_rendering(rendering)


def summed_up(totals: Totals) -> str:
    """How many messages, and what the texts cost, in a sentence."""
    sms, cost = totals.sms, ""
    if sms.cost is not None:
        cost = f", {_span(sms.cost.minimum, sms.cost.maximum)} {sms.cost.currency}"
    segments = _span(str(sms.segments_minimum), str(sms.segments_maximum))
    return (
        f"{totals.emails} mails, {sms.texts} texts ({segments} segments{cost}), "
        f"{totals.posts} posts, {totals.banners} banners."
    )


def _print_rendering(rendering: PreviewRendering) -> None:
    size = ""
    if rendering.sms:
        least, most = rendering.sms.segments_minimum, rendering.sms.segments_maximum
        size = f" · {rendering.sms.encoding}, {_span(str(least), str(most))} segments"
    elif rendering.weighted_length is not None:
        size = f" · {rendering.weighted_length} of 280"
    print_words(f"{rendering.segment or 'public'} · {rendering.channel}{size}", rendering.parts)


def print_words(head: str, parts: Mapping[str, str]) -> None:
    """One wording as text, under a line that says whose it is."""
    typer.echo(f"\n{f'── {head} ':─<79}")
    for name in ("subject", "title"):
        if name in parts:
            typer.echo(f"{name.capitalize()}: {parts[name]}\n")
    typer.echo((parts.get("text") or parts.get("body", "")).strip())


def _span(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"
