"""Drawings as inline SVG: elements with attributes and classes only, so that a strict policy lets them be.

They stretch sideways with the page: what lies across is given in per cent, what lies down in pixels,
and texts keep their size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing and the same in words: `finding` is its description, `rows` the table beneath it."""

    title: str
    finding: str
    drawing: Markup
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def element(name: str, *inner: Markup | str, **attributes: str | float) -> Markup:
    """`<name …>inner</name>`, escaped. `text_anchor` is written text-anchor, `class_` class."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
    )
    tag = Markup(name)  # noqa: S704 - ours, never input
    return Markup("<{}{}>{}</{}>").format(tag, written, Markup("").join(inner), tag)


def drawing(name: str, title: str, finding: str, height: float, *inner: Markup) -> Markup:
    """The whole picture, as wide as its place; `name` is unique on the page."""
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(finding), id=f"{name}-finding"),
        *inner,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-finding",
        class_="chart",
        width="100%",
        height=height,
    )


def across(share: float) -> str:
    """A share of the width."""
    return f"{100 * share:.2f}%"


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
