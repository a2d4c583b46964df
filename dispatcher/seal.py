"""Secrets and payloads at rest: AES-256-GCM under a key derived from the installation's secret."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class BrokenSealError(Exception):
    """It was sealed under another secret of the installation, or for another row, or was changed."""


def seal(key: bytes, plain: bytes, *, about: str) -> bytes:
    """`about` names what it belongs to: sealed for one row, it cannot be opened in another."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about.encode())


def unseal(key: bytes, sealed: bytes, *, about: str) -> bytes:
    """What was sealed. Raises BrokenSealError."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        raise BrokenSealError(about) from None
