"""Shortening text without cutting what a reader sees as one character."""

import unicodedata

_ELLIPSIS = "…"
_JOINER = "\u200d"


def shortened(text: str, longest: int) -> str:
    """`text` in at most `longest` characters, an ellipsis for the rest."""
    if len(text) <= longest:
        return text
    cut = max(0, longest - len(_ELLIPSIS))
    while cut > 0 and _belong_together(text[:cut], text[cut]):
        cut -= 1
    return text[:cut].rstrip() + _ELLIPSIS


def cut_points(text: str) -> list[int]:
    """Where `text` may end, shortest first: after any word, and inside the first one."""
    first_word = len(text.split(" ", 1)[0])
    inside = [at for at in range(1, first_word) if not _belong_together(text[:at], text[at])]
    return inside + [at for at, character in enumerate(text) if character == " "]


def _belong_together(before: str, after: str) -> bool:
    if unicodedata.category(after).startswith("M") or after == _JOINER or before[-1] == _JOINER:
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True  # skin tones, and the tags that spell regional flags
    if not _is_flag_half(after):
        return False
    halves = 0
    while halves < len(before) and _is_flag_half(before[-1 - halves]):
        halves += 1
    return halves % 2 == 1


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
