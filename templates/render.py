"""Facts to renderings: once per segment, channel and locale; never once per person."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import assert_never

from channels.model import ChannelKind
from templates.check import check_templates
from templates.facts import Facts, Internal, facts_hash
from templates.letter import write_email
from templates.occasion import Kind, Occasion, kind_of
from templates.phrases import phrases, still_true
from templates.plain import one_line, own_url
from templates.rendering import Rendering, Wording, sealed
from templates.short import write_banner, write_sms, write_social
from templates.slots import tags_are_safe
from templates.words import TemplateError

__all__ = [
    "Kind",
    "Occasion",
    "Rendering",
    "TemplateError",
    "check_templates",
    "compose",
    "kind_of",
]

LOCALES = ("en",)


def compose(
    facts: Facts,
    internal: Internal | None,
    occasion: Occasion,
    *,
    channels: Mapping[str, Collection[ChannelKind]],
    locales: Collection[str] = ("en",),
    tag_prefix: str,
) -> list[Rendering]:
    """Every wording of one update, in a fixed order.

    `channels`: segment -> the channels it is told on. Social is one public voice: at most one
    rendering per locale, with segment None, and only for public incidents. Segments without words
    of their own read those of smb. Raises TemplateError when facts are incomplete, a wording
    cannot be made to fit or a template is at fault; then nothing is returned.
    """
    _check_complete(facts, occasion)
    unknown = [locale for locale in locales if locale not in LOCALES]
    if unknown:
        raise TemplateError(
            f"there are no words in locale '{unknown[0]}'; known are {', '.join(LOCALES)}"
        )
    digest = facts_hash(facts)
    job = _Job(facts=facts, internal=internal, occasion=occasion, prefix=tag_prefix)
    return [
        sealed(
            job.write(segment, channel, locale),
            segment=segment,
            channel=channel,
            locale=locale,
            facts_hash=digest,
        )
        for locale in locales
        for segment, channel in _wanted(channels, occasion)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What all renderings of one update are made from."""

    facts: Facts
    internal: Internal | None
    occasion: Occasion
    prefix: str

    def write(self, segment: str | None, channel: ChannelKind, locale: str) -> Wording:
        context = self._context(segment)
        wording = self._write(context, segment or "", channel, locale)
        for part, text in wording.parts.items():
            if not tags_are_safe(text, wording.slots, self.prefix):
                raise TemplateError(
                    f"the tag prefix occurs in the {channel} {part} itself; draw another one"
                )
        return wording

    def _write(
        self, context: Mapping[str, object], segment: str, channel: ChannelKind, locale: str
    ) -> Wording:
        match channel:
            case ChannelKind.EMAIL:
                return write_email(
                    self.facts,
                    self.occasion,
                    context,
                    segment=segment,
                    locale=locale,
                    prefix=self.prefix,
                )
            case ChannelKind.SMS:
                return write_sms(self.facts, context, segment=segment, prefix=self.prefix)
            case ChannelKind.SOCIAL:
                return write_social(self.facts, context)
            case ChannelKind.BANNER:
                return write_banner(self.facts, self.occasion, context, segment=segment)
            case _:
                assert_never(channel)

    def _context(self, segment: str | None) -> dict[str, object]:
        """The names a words file may use. Other segments do not even have `internal` to print."""
        occasion = self.occasion
        context: dict[str, object] = {
            "facts": still_true(self.facts, occasion),
            "said": phrases(self.facts, occasion),
            "kind": occasion.kind,
            "changed": occasion.changed,
            "status": occasion.status,
            "severity": occasion.severity,
            "revision": occasion.revision,
            "incident_ref": occasion.reference,
            "incident_url": occasion.incident_url,
            "brand": occasion.brand,
            "segment": segment,
        }
        if segment == "internal":
            context["internal"] = self.internal
        return context


def _wanted(
    channels: Mapping[str, Collection[ChannelKind]], occasion: Occasion
) -> list[tuple[str | None, ChannelKind]]:
    wanted: list[tuple[str | None, ChannelKind]] = [
        (segment, channel)
        for segment in sorted(channels)
        for channel in ChannelKind
        if channel in channels[segment] and channel is not ChannelKind.SOCIAL
    ]
    asked = any(ChannelKind.SOCIAL in each for each in channels.values())
    if asked and occasion.visibility == "public":
        wanted.append((None, ChannelKind.SOCIAL))
    return wanted


def _check_complete(facts: Facts, occasion: Occasion) -> None:
    try:
        own_url(occasion.incident_url)
    except ValueError as error:
        raise TemplateError(f"the incident's address cannot be linked: {error}") from error
    for name in ("incident_ref", "subject_title", "status", "severity"):
        try:
            one_line(getattr(occasion, name))
        except ValueError as error:
            raise TemplateError(f"{name}: {error}") from error
    missing = facts.missing(resolved=occasion.kind is Kind.RESOLVED)
    if occasion.kind is Kind.WORKAROUND and facts.workaround is None:
        missing.append("workaround")
    if missing:
        raise TemplateError(
            f"a message of kind {occasion.kind} cannot be made without: {', '.join(missing)}"
        )
