"""How many parts a text takes on the wire (GSM 03.38)."""

import re

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_TWO_SEPTETS = "\f^{}\\[~]|€"
_GSM = re.compile(f"[{re.escape(_BASIC + _TWO_SEPTETS)}]*")
_COSTS_TWO = re.compile(f"[{re.escape(_TWO_SEPTETS)}]")
_BEYOND_ONE_UNIT = re.compile("[\U00010000-\U0010ffff]")


def segments(text: str) -> int:
    """At least 1; a character is never split between two parts."""
    if _GSM.fullmatch(text):
        return _parts(text, _COSTS_TWO, 160, 153)
    return _parts(text, _BEYOND_ONE_UNIT, 70, 67)


def _parts(text: str, costs_two: re.Pattern[str], single: int, several: int) -> int:
    if len(text) + len(costs_two.findall(text)) <= single:
        return 1
    parts, free = 1, several
    for char in text:
        cost = 2 if costs_two.match(char) else 1
        if cost > free:
            parts, free = parts + 1, several
        free -= cost
    return parts
