"""How many parts a text takes on the wire (GSM 03.38)."""

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_TWO_SEPTETS = frozenset("\f^{}\\[~]|€")
_BEYOND_ONE_UNIT = "\uffff"


def segments(text: str) -> int:
    """At least 1; a character is never split between two parts."""
    if all(char in _BASIC or char in _TWO_SEPTETS for char in text):
        return _parts([2 if char in _TWO_SEPTETS else 1 for char in text], 160, 153)
    return _parts([2 if char > _BEYOND_ONE_UNIT else 1 for char in text], 70, 67)


def _parts(costs: list[int], single: int, several: int) -> int:
    if sum(costs) <= single:
        return 1
    parts, free = 1, several
    for cost in costs:
        if cost > free:
            parts, free = parts + 1, several
        free -= cost
    return parts
