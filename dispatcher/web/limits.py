"""How often somebody may call: one bucket per caller and kind of call, kept by this process.

Several web processes each count for themselves: behind a balancer a caller has the limit of each.
What is counted is dropped when it no longer says anything, so memory is bounded (`_MOST`).
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, TypeAlias

from aiohttp import web

from dispatcher.config import ApiSettings
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.boundary import CONTEXT, SPENT

_MOST: Final = 20_000
_IPV6: Final = 6
_IPV6_SITE: Final = 64


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `calls` at once, which come back evenly within `window_s` seconds."""

    name: str
    calls: int
    window_s: int

    @property
    def span(self) -> float:
        """Seconds after which one more call is allowed."""
        return self.window_s / self.calls


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands after a call: how many are `left`, and in how many seconds all are."""

    left: int
    full_in_s: float
    wait_s: float = 0.0


@dataclass(slots=True)
class Buckets:
    """Who has called how much; `most` callers are remembered."""

    most: int = _MOST
    _empty_until: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._empty_until)

    def spend(self, quota: Quota, who: str, now: float) -> Standing:
        """Count one call of `who` at `now` (monotonic seconds); `wait_s` > 0 where it is one too many."""
        key = quota.name, who
        debt = max(self._empty_until.get(key, now) - now, 0.0)
        wait_s = debt + quota.span - quota.window_s
        # What the clock and the floating point lose may not cost anybody the last call.
        if wait_s > quota.span / 1000:
            return Standing(0, debt, wait_s)
        debt += quota.span
        self._empty_until[key] = now + debt
        self._empty_until.move_to_end(key)
        self._forget(now)
        return Standing(max(math.floor((quota.window_s - debt) / quota.span + 0.001), 0), debt)

    def give_back(self, quota: Quota, who: str) -> None:
        """Take one call of `who` back."""
        key = quota.name, who
        if key in self._empty_until:
            self._empty_until[key] -= quota.span

    def _forget(self, now: float) -> None:
        """The caller heard of least lately goes, where there are too many: mostly its bucket is full."""
        while self._empty_until and (
            len(self._empty_until) > self.most or next(iter(self._empty_until.values())) <= now
        ):
            self._empty_until.popitem(last=False)


QuotaOf: TypeAlias = Callable[[ApiSettings], Quota]
BUCKETS: Final = web.AppKey("buckets", Buckets)


def by_key(settings: ApiSettings) -> Quota:
    """What a key may call."""
    return Quota("default", settings.calls, settings.window_s)


def of_updates(settings: ApiSettings) -> Quota:
    """How many updates a key may post: its own bucket, which nothing else it does can empty."""
    return Quota("updates", settings.updates, settings.window_s)


def by_address(settings: ApiSettings) -> Quota:
    """What one client address may call without a key."""
    return Quota("address", settings.calls_by_address, settings.window_s)


def of_refusals(settings: ApiSettings) -> Quota:
    """How many keys that are not good one client address may show."""
    return Quota("refusals", settings.refused_by_address, settings.window_s)


def of_sign_ins(settings: ApiSettings) -> Quota:
    """How often one client address may try to sign in."""
    return Quota("sign-in", settings.sign_ins, settings.window_s)


def of_events(settings: ApiSettings) -> Quota:
    """How many events a source may send; what nobody proved to be from it is not counted."""
    return Quota("events", settings.events_by_source, settings.window_s)


def spend(request: web.Request, quota: Quota, who: str) -> None:
    """Count this call; whatever is answered then tells where the caller stands.

    Raises WebRefusedError (429) with Retry-After.
    """
    now = request.app[CONTEXT].clock.monotonic()
    standing = request.app[BUCKETS].spend(quota, who, now)
    request[SPENT] = {
        "RateLimit-Policy": f'"{quota.name}";q={quota.calls};w={quota.window_s}',
        "RateLimit": f'"{quota.name}";r={standing.left};t={math.ceil(standing.full_in_s)}',
    }
    if standing.wait_s:
        raise WebRefusedError(
            "too-many-requests",
            f"At most {quota.calls} calls in {quota.window_s} seconds are taken here",
            headers={"Retry-After": str(max(math.ceil(standing.wait_s), 1))},
        )


def client_address(request: web.Request) -> str:
    """Who is calling, as text; of IPv6 the site: a customer has more addresses than we could remember."""
    address = whole_address(request)
    if address is None:
        return request.remote or ""
    if address.version == _IPV6:
        return str(ip_network((address, _IPV6_SITE), strict=False))
    return str(address)


def whole_address(request: web.Request) -> IPv4Address | IPv6Address | None:
    """Who is calling: the peer, or whom the proxies in front of us (`api.proxies`) say they serve."""
    proxies = request.app[CONTEXT].settings.api.proxies
    lines = ",".join(request.headers.getall("X-Forwarded-For", ()))
    told = [part.strip() for part in lines.split(",")]
    text = told[-proxies] if 0 < proxies <= len(told) else request.remote or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both calls the old ones ::ffff:192.0.2.1.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
