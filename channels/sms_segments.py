"""What a text costs: its encoding and its segments, as carriers count them (GSM 03.38)."""

from dataclasses import dataclass
from typing import Final, Literal

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = "\f^{}\\[~]|€"  # two septets each, never split across segments
_COST: Final = {**dict.fromkeys(_BASIC, 1), **dict.fromkeys(_EXTENDED, 2)}
_BEYOND_ONE_UNIT = 0xFFFF

# Typography that says nothing an ASCII character would not say as well. Letters stay: a name
# without its accents is another name.
_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u00b7", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f\t", " "),
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff", ""),
        **dict.fromkeys("\u2028\u2029", "\n"),
        "\u2026": "...",
        "\u2192": "->",
        "\u2190": "<-",
        "\u00d7": "x",
        "\u2264": "<=",
        "\u2265": ">=",
    }
)


@dataclass(frozen=True, slots=True)
class Segments:
    """`units`: septets of GSM-7 or UTF-16 units of UCS-2. `count`: what is billed and paced."""

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    count: int


def segments(text: str) -> Segments:
    """The cost of `text` exactly as given."""
    if all(character in _COST for character in text):
        costs = [_COST[character] for character in text]
        return Segments("GSM-7", sum(costs), _packed(costs, alone=160, each=153))
    costs = [2 if ord(character) > _BEYOND_ONE_UNIT else 1 for character in text]
    return Segments("UCS-2", sum(costs), _packed(costs, alone=70, each=67))


def to_gsm7(text: str) -> str:
    """`text` in plain typography if that makes it GSM-7; else unchanged, as nothing is gained."""
    plain = text.translate(_PLAIN)
    return plain if all(character in _COST for character in plain) else text


def _packed(costs: list[int], *, alone: int, each: int) -> int:
    """Segments needed; a character is never cut in two, so parts may stay partly empty."""
    if sum(costs) <= alone:
        return 1
    parts, free = 1, each
    for cost in costs:
        if cost > free:
            parts, free = parts + 1, each
        free -= cost
    return parts
