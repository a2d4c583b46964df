"""Addresses as they are shown to whoever may not read personal data: recognisable, not usable."""

from typing import Final

from channels.model import ChannelKind

_DOT: Final = "•"


def mask_email(address: str) -> str:
    """`anna@example.com` → `a•••@example.com`; the length of the name is not told."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}{_DOT * 3}{at}{domain}" if at else _DOT * 3


def mask_phone(number: str) -> str:
    """`+15550100123` → `+1••••••••23`: country and the last two digits."""
    kept = 2
    if len(number) <= 2 * kept:
        return _DOT * len(number)
    return number[:kept] + _DOT * (len(number) - 2 * kept) + number[-kept:]


def show_address(channel: ChannelKind, address: str | None, *, read_pii: bool) -> str:
    """The address, or its mask; empty where there is none (any more)."""
    if address is None:
        return ""
    if read_pii or channel is ChannelKind.SOCIAL:
        return address
    return mask_phone(address) if channel is ChannelKind.SMS else mask_email(address)
