"""The rules for every text that ends up in a message: plain characters and https links only."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_LINE_BREAKS = re.compile("[\n\r\u2028\u2029]")
# Controls (C0 without \n, C1), line and paragraph separators, direction overrides that let a
# text read differently from what was approved, non-characters.
_FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufffe\uffff\ud800-\udfff]"
)
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_REST = r"(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]*)?"
_HTTPS_URL = re.compile(f"https://{_HOST}{_REST}")
_OWN_URL = re.compile(rf"(?:https://{_HOST}|http://(?:127\.0\.0\.1|localhost|\[::1\])){_REST}")
_MAX_URL = 2000


def plain_text(text: str) -> str:
    """Return `text` unchanged; ValueError names the first character that may not occur."""
    found = _FORBIDDEN.search(text)
    if found:
        raise ValueError(
            f"character U+{ord(found[0]):04X} at position {found.start() + 1} is not allowed: "
            "plain text only, line breaks as \\n"
        )
    return text


def one_line(text: str) -> str:
    """As `plain_text`, and no line breaks."""
    if _LINE_BREAKS.search(text):
        raise ValueError("line breaks are not allowed here")
    return plain_text(text)


def https_url(url: str) -> str:
    """Return `url` unchanged; ValueError unless it is an https link without credentials."""
    return _matching(_HTTPS_URL, url)


# A mail holds its link several times, so the last few are remembered.
@lru_cache(maxsize=16)
def own_url(url: str) -> str:
    """As `https_url`, but for links we make ourselves: on this machine plain http will do."""
    return _matching(_OWN_URL, url)


def _matching(pattern: re.Pattern[str], url: str) -> str:
    if len(url) > _MAX_URL or not pattern.fullmatch(url):
        raise ValueError(
            "must be an https:// link with a host, without credentials, percent-encoded, "
            f"of at most {_MAX_URL} characters"
        )
    return url


def _line(longest: int) -> object:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


ShortLine = Annotated[str, _line(100), AfterValidator(one_line)]
Line = Annotated[str, _line(255), AfterValidator(one_line)]
Sentence = Annotated[str, _line(500), AfterValidator(plain_text)]
Paragraph = Annotated[str, _line(2000), AfterValidator(plain_text)]
LongText = Annotated[str, _line(5000), AfterValidator(plain_text)]
HttpsUrl = Annotated[str, AfterValidator(https_url)]
