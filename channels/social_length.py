"""How long X counts a post: weighted characters, links always 23, an emoji 2."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

LIMIT: Final = 280


def weighted_length(text: str) -> int:
    """Weighted characters of `text`; emoji newer than the library count too high, never too low."""
    return int(_twitter_text().parse_tweet(text).weightedLength)


@cache
def _twitter_text() -> ModuleType:
    """Imported by the first post: it compiles patterns for 0.6 s, and most processes write none."""
    return import_module("twitter_text")
