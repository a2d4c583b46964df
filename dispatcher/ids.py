"""Identifiers that leave the house: numbers with an 8-byte HMAC, so nobody can guess or forge one."""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

MAC_BYTES = 8
_DELIVERY = struct.Struct(">QBqBB")
_NUMBER = struct.Struct(">q")
DELIVERY_KEY_LENGTH = (_DELIVERY.size + MAC_BYTES) * 4 // 3


class DeliveryKey(NamedTuple):
    """One attempt of one delivery; `endpoint` is negative for a contact without an endpoint."""

    update: int
    channel: int
    endpoint: int
    purpose: int
    attempt: int


# Who holds the link of an incident's page may read what was said to those who got that link, and
# to any wider circle. A narrower circle has links of its own kind.
PAGE_KINDS = {"public": "inc", "customers": "inc", "accounts": "inca", "internal": "inci"}


class ForgedIdError(ValueError):
    """The identifier was not made by us, or was changed on the way."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and reads public ids with one secret. Purposes are separated, so no id passes for another."""

    secret: bytes = field(repr=False)

    def _mac(self, purpose: str, payload: bytes) -> bytes:
        return hmac.digest(self.secret, purpose.encode() + b"\x00" + payload, "sha256")[:MAC_BYTES]

    def public_id(self, kind: str, number: int) -> str:
        """`upd_…`: kind, underscore, 26 characters of base32."""
        payload = _NUMBER.pack(number)
        raw = payload + self._mac(kind, payload)
        return f"{kind}_{base64.b32encode(raw).decode().rstrip('=').lower()}"

    def read_public_id(self, kind: str, text: str) -> int:
        """The number inside; ForgedIdError for anything else than an id of this kind made here."""
        prefix, _, body = text.partition("_")
        try:
            raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        except (binascii.Error, ValueError) as error:
            raise ForgedIdError(kind) from error
        payload, mac = raw[: _NUMBER.size], raw[_NUMBER.size :]
        if prefix != kind or not hmac.compare_digest(mac, self._mac(kind, payload)):
            raise ForgedIdError(kind)
        return int(_NUMBER.unpack(payload)[0])

    def delivery_key(self, key: DeliveryKey) -> str:
        """36 URL-safe characters that travel with a message and return in its receipts."""
        payload = _DELIVERY.pack(*key)
        return base64.urlsafe_b64encode(payload + self._mac("delivery", payload)).decode()

    def read_delivery_key(self, text: str) -> DeliveryKey:
        """The key inside; ForgedIdError when it is not one of ours."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise ForgedIdError("delivery") from error
        payload, mac = raw[: _DELIVERY.size], raw[_DELIVERY.size :]
        if not hmac.compare_digest(mac, self._mac("delivery", payload)):
            raise ForgedIdError("delivery")
        return DeliveryKey(*_DELIVERY.unpack(payload))

    def derived_key(self, purpose: str) -> bytes:
        """A 32-byte key for another use (address hashes, user tokens) that does not reveal this one."""
        return hmac.digest(self.secret, b"derive\x00" + purpose.encode(), hashlib.sha256)
