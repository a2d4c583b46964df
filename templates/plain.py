"""The rules for every text that ends up in a message: plain characters and https links only."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

_LINE_BREAKS = re.compile("[\n\r\u2028\u2029]")
# Controls (C0 without \n, C1), line and paragraph separators, direction overrides that let a
# text read differently from what was approved, non-characters.
_FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufffe\uffff\ud800-\udfff]"
)
_URL_CHARACTERS = re.compile(r"https://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+")
_MAX_URL = 2000
_LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")


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
    if len(url) > _MAX_URL or not _URL_CHARACTERS.fullmatch(url):
        raise ValueError(
            f"must be an https:// link of at most {_MAX_URL} characters, percent-encoded"
        )
    parts = urlsplit(url)
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be an https:// link with a host and without credentials")
    return url


def own_url(url: str) -> str:
    """As `https_url`, but for links we make ourselves: on this machine plain http will do."""
    if url.startswith(_LOOPBACK):
        https_url("https" + url.removeprefix("http"))
        return url
    return https_url(url)


def _line(longest: int) -> object:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


ShortLine = Annotated[str, _line(100), AfterValidator(one_line)]
Line = Annotated[str, _line(255), AfterValidator(one_line)]
Sentence = Annotated[str, _line(500), AfterValidator(plain_text)]
Paragraph = Annotated[str, _line(2000), AfterValidator(plain_text)]
LongText = Annotated[str, _line(5000), AfterValidator(plain_text)]
HttpsUrl = Annotated[str, AfterValidator(https_url)]
