"""The few words of a message that differ per person: typed, bounded, filled in without a template.

A rendering holds a tag where a person's value belongs. Each slot has one tag per part, so that the
value can be escaped for the place it stands in. Tags carry a random prefix nobody outside can
guess; `compose` makes sure no fixed text could grow into a tag, and values never contain `{`, so
replacing the tags one after the other in any order, as providers do, equals one pass of `fill`.
"""

import random
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from html import escape
from typing import Any, assert_never

from channels.sms_segments import segments, to_gsm7
from templates.graphemes import shortened
from templates.plain import one_line, own_url
from templates.times import there

_TAG = re.compile(r"\{%[a-z0-9]+:[a-z_]+\.[a-z]+%\}")
# Values of these characters need neither escaping nor checking in any part; nearly all names do.
_HARMLESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .,\-]*[A-Za-z0-9.])?")
_PREFIX_LENGTH = 8
_CUT = "\x00"
_WIDEST = "€"  # two septets in a text, escaped by nobody


class SlotType(StrEnum):
    """The place a value stands in, and so how it is checked and escaped."""

    TEXT = "text"
    HTML = "html"
    URL = "url"
    HEADER = "header"
    OURS = "ours"  # one of our own fixed phrases: nothing to check, nothing to escape


class Charset(StrEnum):
    """What a value may consist of."""

    ANY = "any"
    GSM7 = "gsm7"  # texts: one letter outside of it would make the whole text cost double


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One gap in one part of a rendering.

    `fallback` is used when a value is missing or unfit; `argument` is what the value is computed
    from beside the person (an ISO 8601 instant for `local_time`).
    """

    name: str
    part: str
    type: SlotType
    max_length: int
    fallback: str
    tag: str
    charset: Charset = Charset.ANY
    argument: str = ""

    @property
    def longest(self) -> str:
        """A value that takes as much room as any can."""
        if self.name == "stop":
            return STOP_LINE
        return _WIDEST * self.max_length

    @property
    def shortest(self) -> str:
        """A value that takes as little room as any can: what needs no fallback may stay empty."""
        return "i" if self.fallback else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What is known about one recipient while a message is filled in."""

    name: str = field(default="", repr=False)
    account: str = field(default="", repr=False)
    unsubscribe_url: str = field(default="", repr=False)
    first_text: bool = False
    time_zone: str = "UTC"
    locale: str = "en"


STOP_LINE = " Reply STOP to opt out"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A slot before it is placed: where the value comes from and what bounds it.

    `value` takes the person and the slot's argument.
    """

    value: Callable[[Person, str], str]
    max_length: int
    fallback: str
    type: SlotType = SlotType.TEXT


KNOWN_SLOTS: Mapping[str, _Kind] = {
    "name": _Kind(value=lambda person, _: person.name, max_length=60, fallback="there"),
    "account": _Kind(
        value=lambda person, _: person.account, max_length=80, fallback="your account"
    ),
    "unsubscribe": _Kind(
        value=lambda person, _: person.unsubscribe_url,
        max_length=500,
        fallback="",
        type=SlotType.URL,
    ),
    "stop": _Kind(
        value=lambda person, _: STOP_LINE if person.first_text else "",
        max_length=len(STOP_LINE),
        fallback="",
        type=SlotType.OURS,
    ),
    "local_time": _Kind(
        value=lambda person, instant: there(instant, person.time_zone),
        max_length=60,
        fallback="",
        type=SlotType.OURS,
    ),
}


def new_tag_prefix(rng: random.Random) -> str:
    """Eight random characters; give each update its own."""
    return "".join(rng.choices(string.ascii_lowercase + string.digits, k=_PREFIX_LENGTH))


def place(
    name: str, part: str, prefix: str, charset: Charset = Charset.ANY, argument: str = ""
) -> Slot:
    """The slot `name` as it stands in `part`; KeyError for a name nobody defined."""
    kind = KNOWN_SLOTS[name]
    return Slot(
        name=name,
        part=part,
        type=_type_in(part, kind.type),
        max_length=kind.max_length,
        fallback=kind.fallback,
        tag=f"{{%{prefix}:{name}.{part}%}}",
        charset=charset,
        argument=argument,
    )


def tags_are_safe(text: str, slots: Iterable[Slot], prefix: str) -> bool:
    """Whether `text` holds the prefix in its tags only and nothing that could grow into a tag."""
    opening = f"{{%{prefix}:"
    for slot in slots:
        text = text.replace(slot.tag, _CUT)
    fixed = text.split(_CUT)
    beginnings = tuple(opening[:length] for length in range(1, len(opening)))
    return prefix not in text and not any(piece.endswith(beginnings) for piece in fixed[:-1])


def _type_in(part: str, declared: SlotType) -> SlotType:
    if declared is not SlotType.TEXT:
        return declared
    return {"html": SlotType.HTML, "subject": SlotType.HEADER}.get(part, SlotType.TEXT)


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with every tag in `values` replaced: what a provider's substitution must equal."""
    return _TAG.sub(lambda found: values.get(found[0], found[0]), text)


_Place = tuple[str, Callable[[str], str]]


class Filler:
    """The values of a rendering's slots for one person after another; build one per rendering."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        placed: dict[tuple[str, str], list[_Place]] = {}
        for slot in slots:
            places = placed.setdefault((slot.name, slot.argument), [])
            places.append((slot.tag, _converter(slot)))
        self._plan = tuple(
            (KNOWN_SLOTS[name].value, argument, tuple(places))
            for (name, argument), places in placed.items()
        )

    def values(self, person: Person) -> dict[str, str]:
        """Tag -> value, escaped for the part the tag stands in."""
        values: dict[str, str] = {}
        for source, argument, places in self._plan:
            raw = source(person, argument)
            for tag, convert in places:
                values[tag] = convert(raw)
        return values


def slots_to_json(slots: Iterable[Slot]) -> list[dict[str, Any]]:
    """What is stored beside a rendering's parts."""
    return [asdict(slot) for slot in slots]


def slots_from_json(stored: Iterable[Mapping[str, Any]]) -> tuple[Slot, ...]:
    """The slots that `slots_to_json` stored."""
    return tuple(
        Slot(**{**raw, "type": SlotType(raw["type"]), "charset": Charset(raw["charset"])})
        for raw in stored
    )


def _converter(slot: Slot) -> Callable[[str], str]:
    """How a raw value becomes one that may stand where the slot's tag stands."""
    match slot.type:
        case SlotType.OURS:
            return str
        case SlotType.TEXT | SlotType.HEADER:
            return _unless_harmless(slot, lambda raw: _bounded(slot, raw))
        case SlotType.HTML:
            return _unless_harmless(slot, lambda raw: escape(_bounded(slot, raw)))
        case SlotType.URL:
            if slot.part == "html":
                return lambda raw: escape(_link(slot, raw))
            return lambda raw: _link(slot, raw)
        case _:
            assert_never(slot.type)


def _unless_harmless(slot: Slot, convert: Callable[[str], str]) -> Callable[[str], str]:
    longest, harmless = slot.max_length, _HARMLESS.fullmatch
    return lambda raw: raw if len(raw) <= longest and harmless(raw) else convert(raw)


def _bounded(slot: Slot, raw: str) -> str:
    """`raw` as one line within the slot's length, or the fallback where it cannot be used.

    A brace in a name is a forgotten placeholder of somebody's import far more often than a name,
    and without braces no value can take part in forming a tag.
    """
    text = unicodedata.normalize("NFC", raw).strip()
    if slot.charset is Charset.GSM7:
        text = to_gsm7(text)
        if segments(text).encoding != "GSM-7":
            return slot.fallback
    if not text or "{" in text or "}" in text:
        return slot.fallback
    try:
        one_line(text)
    except ValueError:
        return slot.fallback
    return shortened(text, slot.max_length)


def _link(slot: Slot, raw: str) -> str:
    try:
        return own_url(raw) if len(raw) <= slot.max_length else slot.fallback
    except ValueError:
        return slot.fallback
