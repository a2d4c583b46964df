"""SendGrid's substitution tags: every tag found is replaced in one pass, values untouched."""

import re
from collections.abc import Mapping
from functools import lru_cache

_NEVER = re.compile(r"(?!)")


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with each tag in `values` replaced.

    Values are not searched for tags again; where two tags begin at one place the longer wins; a
    tag without a value stays as it is.
    """
    return _tags(tuple(values)).sub(lambda found: values[found[0]], text)


@lru_cache(maxsize=64)
def _tags(tags: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, tags), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else _NEVER
