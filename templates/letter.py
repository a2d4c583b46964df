"""The e-mail: one words file per segment, laid out as HTML and, separately, as plain text."""

import re
from collections.abc import Mapping

import css_inline

from templates.occasion import Occasion
from templates.outline import Block, read_outline
from templates.rendering import Wording
from templates.slots import Slot
from templates.words import SlotTags, print_layout, print_words, voice

_INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
_EMPTY_LINES = re.compile(r"\n{3,}")


def write_email(
    context: Mapping[str, object], occasion: Occasion, *, segment: str, locale: str, prefix: str
) -> Wording:
    """Parts subject, html and text of one segment's e-mail."""
    html_blocks, html_slots = _outline(context, segment, "html", prefix)
    text_blocks, text_slots = _outline(context, segment, "text", prefix)
    looks = {"brand": occasion.brand, "locale": locale, "subject": _subject(occasion)}
    html = print_layout("email/layout.html.j2", {**looks, "outline": html_blocks})
    text = print_layout("email/layout.txt.j2", {**looks, "outline": text_blocks})
    return Wording(
        parts={
            "subject": _subject(occasion),
            "html": _INLINER.inline(html),
            "text": _EMPTY_LINES.sub("\n\n", text).strip() + "\n",
        },
        slots=html_slots + text_slots,
    )


def _outline(
    context: Mapping[str, object], segment: str, part: str, prefix: str
) -> tuple[tuple[Block, ...], tuple[Slot, ...]]:
    tags = SlotTags(part, prefix)
    printed = print_words(f"email/{voice(segment)}.j2", {**context, "slot": tags})
    return read_outline(printed), tags.used_slots


def _subject(occasion: Occasion) -> str:
    """Constant for an incident: mail clients group by it, the new state is in the preheader."""
    return f"[{occasion.brand.name}] {occasion.subject_title} ({occasion.incident_ref})"
