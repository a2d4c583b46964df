"""Text message, social post and banner: one wording each, as full as its room allows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from channels.sms_segments import segments, to_gsm7
from channels.social_length import weighted_length
from templates.facts import Facts
from templates.fit import EXTRA, SHORT, Draft, fitted
from templates.occasion import Kind, Occasion
from templates.outline import as_line
from templates.phrases import first_sentence, sentence
from templates.rendering import Wording
from templates.slots import Charset, Slot
from templates.words import SlotTags, TemplateError, print_words, voice

SMS_AIM, SMS_LIMIT = 1, 2
SOCIAL_LIMIT = 280
BANNER_TITLE_LIMIT = 120
BANNER_BODY_LIMIT = 300

_OPEN = {"short": SHORT, "extra": EXTRA}
_BANNER_SEVERITY = {"P0": "critical", "P1": "major", "P2": "minor", "planned": "maintenance"}


def write_sms(facts: Facts, context: Mapping[str, object], *, segment: str, prefix: str) -> Wording:
    """One text of at most two segments whoever receives it, one where the facts allow."""
    tags = SlotTags("text", prefix, charset=Charset.GSM7)
    file = f"sms/{voice(segment)}.j2"
    frame = as_line(print_words(file, {**context, "slot": tags, **_OPEN}))

    def worst(text: str) -> int:
        return segments(_longest(text, tags.used_slots)).count

    draft = Draft(
        frame=frame,
        shorts=_shorts(facts, context),
        extras=_extras("sms", context),
        finish=to_gsm7,
        cost=worst,
        budgets=(SMS_AIM, SMS_LIMIT),
        ellipsis="...",
    )
    # Where an alphabet is so costly that the impact cannot be told, the link still can.
    bare = as_line(print_words("sms/bare.j2", {**context, "slot": tags}))
    text = fitted(draft) or _fit(replace(draft, frame=bare), file)
    return Wording(parts={"text": text}, slots=tags.used_slots, segments_worst=worst(text))


def write_social(facts: Facts, context: Mapping[str, object]) -> Wording:
    """One public post of at most 280 weighted characters, without slots."""
    file = "social/public.j2"
    draft = Draft(
        frame=as_line(print_words(file, {**context, **_OPEN})),
        shorts=_shorts(facts, context),
        extras=_extras("social", context),
        finish=str,
        cost=weighted_length,
        budgets=(SOCIAL_LIMIT,),
        ellipsis="…",
    )
    text = _fit(draft, file)
    return Wording(parts={"text": text}, weighted_length=weighted_length(text))


def write_banner(
    facts: Facts, occasion: Occasion, context: Mapping[str, object], *, segment: str
) -> Wording:
    """Title, body and link of the banner shown inside the product; plain text."""
    file = f"banner/{voice(segment)}.j2"
    printed = print_words(file, {**context, **_OPEN})
    title, frame, link_text = (as_line(line) for line in printed.split("\n") if line.strip())
    body = Draft(
        frame=frame,
        shorts=_shorts(facts, context),
        extras=_extras("banner", context),
        finish=str,
        cost=len,
        budgets=(BANNER_BODY_LIMIT,),
        ellipsis="…",
    )
    heading = replace(body, frame=SHORT, shorts=(title,), extras=(), budgets=(BANNER_TITLE_LIMIT,))
    return Wording(
        parts={
            "severity": _banner_severity(occasion),
            "title": _fit(heading, file),
            "body": _fit(body, file),
            "url": occasion.incident_url,
            "link_text": link_text,
            "resolved": "true" if occasion.kind is Kind.RESOLVED else "false",
        }
    )


def _fit(draft: Draft, file: str) -> str:
    text = fitted(draft)
    if text is None:
        raise TemplateError(
            f"{file}: too long even with the impact cut to nothing; "
            "shorten the incident's address or the brand's short name"
        )
    return text


def _shorts(facts: Facts, context: Mapping[str, object]) -> Sequence[str]:
    """Ways to say what customers notice, fullest first. What is over is told by its title."""
    title, impact = sentence(facts.title or ""), sentence(facts.impact or "")
    said: tuple[str, ...] = (
        (title,) if context["kind"] == Kind.RESOLVED else (impact, first_sentence(impact), title)
    )
    if facts.data_safe is not None and not facts.data_safe.safe:
        danger = sentence(facts.data_safe.text)
        said = (*(f"{way} {danger}" for way in said), danger)
    return tuple(dict.fromkeys(said))


def _extras(folder: str, context: Mapping[str, object]) -> Sequence[str]:
    printed = print_words(f"{folder}/extras.j2", context)
    return [sentence(as_line(line)) for line in printed.split("\n") if line.strip()]


def _longest(text: str, slots: Sequence[Slot]) -> str:
    for slot in slots:
        text = text.replace(slot.tag, slot.longest)
    return text


def _banner_severity(occasion: Occasion) -> str:
    if occasion.kind is Kind.RESOLVED:
        return "resolved"
    return _BANNER_SEVERITY.get(occasion.severity, "info")
