"""Where a webhook may lead: out into the world, and nowhere inside unless the operator says so.

Whoever may set an address must not be able to have this process call its neighbours, or itself. What a
name leads to is looked at anew at each attempt, and the address that is connected to is the one looked at.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from yarl import URL

from dispatcher.config import WebhookSettings

MOST_CHARACTERS: Final = 2000
HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80
FIRST_FREE_PORT: Final = 1024
# What starts so stands for an IPv4 address, and leads to it where there is a gateway.
_NAT64: Final = IPv6Network("64:ff9b::/96")
# What Python calls global, some of its versions at least, and is not, or leads to a cloud's own services.
_NOT_PUBLIC: Final = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # of protocols; metadata of Oracle's cloud
        "168.63.129.16/32",  # the host of a machine in Azure
        "192.88.99.0/24",  # what led to 6to4
        "3fff::/20",  # documentation
    )
)
_IPV6_OF_THE_WORLD: Final = IPv6Network("2000::/3")
_HOST: Final = re.compile(r"[a-z0-9._:-]+")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")

Address = IPv4Address | IPv6Address


class ForbiddenAddressError(Exception):
    """A webhook may not lead there; the text says why."""


def checked_url(text: str, settings: WebhookSettings) -> URL:
    """The address as it is called. Raises ForbiddenAddressError for one that may never be called.

    What its name leads to is not known before it is called, see `check_address`.
    """
    if len(text) > MOST_CHARACTERS or not _PRINTABLE.fullmatch(text) or "\\" in text:
        raise ForbiddenAddressError(
            f"must be printable ASCII without spaces, of at most {MOST_CHARACTERS} characters"
        )
    try:
        # As it is written: a receiver may have signed its own address.
        url = URL(text, encoded=True)
        host, port = url.host, url.port
    except ValueError:
        raise ForbiddenAddressError("is no web address") from None
    if url.scheme not in {"https", "http"} or not host or not _HOST.fullmatch(host):
        raise ForbiddenAddressError("must begin with https:// and a host")
    if url.user is not None or url.password is not None:
        raise ForbiddenAddressError("must not hold a user or a password; messages are signed")
    if url.raw_fragment:
        raise ForbiddenAddressError("must not have a fragment")
    if url.scheme == "http" and host not in settings.http_hosts:
        raise ForbiddenAddressError(
            "must begin with https://, unless webhooks.http_hosts names the host"
        )
    _check_port(url.scheme, port)
    literal = _literal(host)
    if literal is not None:
        check_address(str(literal), settings)
    return url


def _check_port(scheme: str, port: int | None) -> None:
    usual = HTTPS_PORT if scheme == "https" else HTTP_PORT
    if port is None or (port != usual and port < FIRST_FREE_PORT):
        raise ForbiddenAddressError(f"must use port {usual}, or one from {FIRST_FREE_PORT} on")


def _literal(host: str) -> Address | None:
    """The address that the host is, None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def check_address(text: str, settings: WebhookSettings) -> None:
    """Raises ForbiddenAddressError unless the IP address may be connected to."""
    if not is_allowed(ip_address(text), settings):
        raise ForbiddenAddressError(
            "leads into a network that is not public; see webhooks.allow_networks"
        )


def is_allowed(address: Address, settings: WebhookSettings) -> bool:
    """Whether an address is public, or in a network that the operator allows."""
    meant = _meant(address)
    return any(meant in network for network in settings.allow_networks) or _is_public(meant)


def _meant(address: Address) -> Address:
    """The IPv4 address where an IPv6 address is only another way to write it, or a way to it."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address.scope_id is not None
        or address.teredo is not None
        or address not in _IPV6_OF_THE_WORLD
    ):
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    # Python 3.11 calls some of these global.
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special


def check_all(addresses: Sequence[str], settings: WebhookSettings) -> None:
    """Raises ForbiddenAddressError if any may not be connected to: one that leads inside spoils the name."""
    for text in addresses:
        check_address(text, settings)
