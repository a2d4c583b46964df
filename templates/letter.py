"""The e-mail: one words file per segment, laid out as HTML and, separately, as plain text."""

import re
from collections.abc import Mapping

import css_inline

from templates.facts import Facts
from templates.occasion import Occasion
from templates.outline import Block, read_outline
from templates.rendering import Wording
from templates.words import SlotTags, print_layout, print_words, voice

_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False)
_EMPTY_LINES = re.compile(r"\n{3,}")


def write_email(
    facts: Facts,
    occasion: Occasion,
    context: Mapping[str, object],
    *,
    segment: str,
    locale: str,
    prefix: str,
) -> Wording:
    """Parts subject, html and text of one segment's e-mail."""
    promise = facts.next_update_by.isoformat() if facts.next_update_by else ""
    html_tags = SlotTags("html", prefix, arguments={"local_time": promise})
    text_tags = SlotTags("text", prefix, arguments={"local_time": promise})
    html_blocks = _outline(context, segment, html_tags)
    text_blocks = _outline(context, segment, text_tags)
    looks = {"brand": occasion.brand, "locale": locale, "subject": _subject(occasion)}
    html = print_layout("email/layout.html.j2", {**looks, "outline": html_blocks})
    text = print_layout("email/layout.txt.j2", {**looks, "outline": text_blocks})
    return Wording(
        parts={
            "subject": _subject(occasion),
            "html": _INLINER.inline(html),
            "text": _EMPTY_LINES.sub("\n\n", text).strip() + "\n",
        },
        slots=html_tags.used_slots + text_tags.used_slots,
    )


def _outline(context: Mapping[str, object], segment: str, tags: SlotTags) -> tuple[Block, ...]:
    printed = print_words(f"email/{voice(segment)}.j2", {**context, "slot": tags})
    return read_outline(printed)


def _subject(occasion: Occasion) -> str:
    """Constant for an incident: mail clients group by it, the new state is in the preheader."""
    return f"[{occasion.brand.name}] {occasion.subject_title} ({occasion.reference})"
