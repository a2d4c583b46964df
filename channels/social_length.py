"""How long X counts a post: weighted characters, links always 23, an emoji 2."""

from typing import Final

from twitter_text import parse_tweet

LIMIT: Final = 280


def weighted_length(text: str) -> int:
    """Weighted characters of `text`; emoji newer than the library count too high, never too low."""
    return int(parse_tweet(text).weightedLength)
