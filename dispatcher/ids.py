"""Identifiers that leave the house: numbers with an 8-byte HMAC, so nobody can guess or forge one."""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable
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
PAGE_KINDS = {"public": "incp", "customers": "inc", "accounts": "inca", "internal": "inci"}


class ForgedIdError(ValueError):
    """The identifier was not made by us, or was changed on the way."""


# What base64.b32encode does, in a quarter of its time: ten bits at once. A mail needs one of these.
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_FROM_URLSAFE = bytes.maketrans(b"-_", b"+/")
_PLACES = tuple(range(120, -1, -10))


def _base32(raw: bytes) -> str:
    """26 lower-case characters for 16 bytes, without padding."""
    bits = int.from_bytes(raw) << 2
    return "".join([_PAIRS[bits >> place & 1023] for place in _PLACES])


_BLOCK = 64
_INNER_PAD = bytes(x ^ 0x36 for x in range(256))
_OUTER_PAD = bytes(x ^ 0x5C for x in range(256))
_Mac = Callable[[bytes], bytes]


def _macs(secret: bytes, purpose: str) -> _Mac:
    """What `hmac.digest` does (RFC 2104, SHA-256), in a quarter of its time: the secret is read once."""
    if len(secret) > _BLOCK:
        secret = hashlib.sha256(secret).digest()
    block = secret.ljust(_BLOCK, b"\x00")
    inner_start = hashlib.sha256(block.translate(_INNER_PAD) + purpose.encode() + b"\x00")
    outer_start = hashlib.sha256(block.translate(_OUTER_PAD))

    def mac(payload: bytes) -> bytes:
        inner, outer = inner_start.copy(), outer_start.copy()
        inner.update(payload)
        outer.update(inner.digest())
        return outer.digest()[:MAC_BYTES]

    return mac


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and reads public ids with one secret. Purposes are separated, so no id passes for another."""

    secret: bytes = field(repr=False)

    def _mac(self, purpose: str, payload: bytes) -> bytes:
        return hmac.digest(self.secret, purpose.encode() + b"\x00" + payload, "sha256")[:MAC_BYTES]

    def public_id(self, kind: str, number: int) -> str:
        """`upd_…`: kind, underscore, 26 characters of base32."""
        return self.public_ids(kind)(number)

    def public_ids(self, kind: str) -> Callable[[int], str]:
        """`public_id` of one kind, for very many numbers."""
        mac, prefix = _macs(self.secret, kind), f"{kind}_"

        def public_id(number: int) -> str:
            payload = _NUMBER.pack(number)
            return prefix + _base32(payload + mac(payload))

        return public_id

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
        return self.delivery_keys()(key)

    def delivery_keys(self) -> Callable[[DeliveryKey], str]:
        """`delivery_key`, for very many deliveries."""
        mac = _macs(self.secret, "delivery")

        def delivery_key(key: DeliveryKey) -> str:
            payload = _DELIVERY.pack(*key)
            return base64.urlsafe_b64encode(payload + mac(payload)).decode()

        return delivery_key

    def read_delivery_key(self, text: str) -> DeliveryKey:
        """The key inside; ForgedIdError when it is not one of ours."""
        return self.delivery_key_reader()(text)

    def delivery_key_reader(self) -> Callable[[str], DeliveryKey]:
        """`read_delivery_key`, for very many keys."""
        mac, size, is_same = _macs(self.secret, "delivery"), _DELIVERY.size, hmac.compare_digest

        def read_delivery_key(text: str) -> DeliveryKey:
            try:
                raw = binascii.a2b_base64(
                    text.encode("ascii").translate(_FROM_URLSAFE), strict_mode=True
                )
            except ValueError as error:
                raise ForgedIdError("delivery") from error
            payload = raw[:size]
            if not is_same(raw[size:], mac(payload)):
                raise ForgedIdError("delivery")
            return DeliveryKey(*_DELIVERY.unpack(payload))

        return read_delivery_key

    def derived_key(self, purpose: str) -> bytes:
        """A 32-byte key for another use (address hashes, user tokens) that does not reveal this one."""
        return hmac.digest(self.secret, b"derive\x00" + purpose.encode(), hashlib.sha256)
