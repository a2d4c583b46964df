"""Personal data as shown to whoever may not read it: recognisable to who knows it, not usable."""

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


def mask_name(name: str) -> str:
    """`Anna Berg` → `A••• B•••`."""
    return " ".join(f"{word[0]}{_DOT * 3}" for word in name.split())


def show_name(name: str | None, *, read_pii: bool) -> str:
    """The name of a person, or its mask; empty where there is none (any more)."""
    return name or "" if read_pii else mask_name(name or "")


def show_address(channel: ChannelKind, address: str | None, *, read_pii: bool) -> str:
    """The address, or its mask; empty where there is none (any more)."""
    if address is None:
        return ""
    if read_pii or channel is ChannelKind.SOCIAL:
        return address
    return mask_phone(address) if channel is ChannelKind.SMS else mask_email(address)
