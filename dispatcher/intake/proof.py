"""What shows that a request comes from its sender. Every comparison takes the same time.

What is in headers may be no text at all, so nothing here is compared as text.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from dispatcher.intake.model import ForgedError, Keys

TOLERANCE: Final = timedelta(minutes=5)
_SECONDS: Final = re.compile(r"[0-9]{1,11}", re.ASCII)


def as_bytes(text: str) -> bytes:
    """A header's value as it came over the wire."""
    return text.encode("utf-8", "surrogateescape")


def digest(secret: bytes) -> bytes:
    """What is stored of a secret that is only shown, never signed with: it is long and random."""
    return hashlib.sha256(secret).digest()


def signed_in_hex(keys: Keys, payload: bytes, given: Iterable[str]) -> None:
    """One of the signatures is the HMAC-SHA256 of the payload, in hex. Raises ForgedError."""
    expected = [
        hmac.digest(secret, payload, "sha256").hex().encode("ascii") for secret in keys.secrets
    ]
    _one_of(expected, [as_bytes(item) for item in given])


def shown(keys: Keys, headers: Mapping[str, str]) -> None:
    """The secret stands in `Authorization`, as Bearer or as the password of Basic. Raises ForgedError."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            given = as_bytes(text.strip())
        case "basic":
            given = _password(text.strip())
        case _:
            raise ForgedError
    _one_of(keys.hashes, [digest(given)])


def shown_in_path(keys: Keys, given: str) -> None:
    """The secret is a part of the address. Raises ForgedError."""
    _one_of(keys.hashes, [digest(as_bytes(given))])


def standard_webhook(keys: Keys, body: bytes, headers: Mapping[str, str], *, now: datetime) -> None:
    """Signed as Standard Webhooks 1.0 says, within five minutes. Raises ForgedError."""
    try:
        name, sent_at, given = (
            headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature")
        )
    except KeyError:
        raise ForgedError from None
    fresh(sent_at, now=now)
    payload = b"%b.%b.%b" % (as_bytes(name), as_bytes(sent_at), body)
    expected = [base64.b64encode(hmac.digest(secret, payload, "sha256")) for secret in keys.secrets]
    versions = (item.partition(",") for item in given.split(" "))
    _one_of(expected, [as_bytes(text) for version, _, text in versions if version == "v1"])


def fresh(sent_at: str, *, now: datetime) -> None:
    """Unix seconds within five minutes of now. Raises ForgedError: the request may be a replay."""
    if not _SECONDS.fullmatch(sent_at):
        raise ForgedError
    if abs(now.timestamp() - int(sent_at)) > TOLERANCE.total_seconds():
        raise ForgedError


def _password(text: str) -> bytes:
    try:
        pair = base64.b64decode(as_bytes(text), validate=True)
    except binascii.Error:
        raise ForgedError from None
    return pair.partition(b":")[2]


def _one_of(expected: Iterable[bytes], given: Iterable[bytes]) -> None:
    pairs = [(right, item) for right in expected for item in given]
    # Not any(): it would stop at the first that fits, and tell by its time which one that was.
    if not sum(hmac.compare_digest(right, item) for right, item in pairs):
        raise ForgedError
