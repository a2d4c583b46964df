"""How long providers take, measured around every request to one of them."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from yarl import URL

from dispatcher.metrics.counted import OTHER
from dispatcher.metrics.weighted import WeightedHistogram

PROVIDER_REQUEST: Final = WeightedHistogram(
    "tidings_provider_request_seconds",
    "From a request to a provider to the head of its answer; code is its status, or what failed.",
    ("provider", "code"),
    (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_STATUSES: Final = {status.value: str(status.value) for status in HTTPStatus}
_FAILURES: Final = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorError, "unreachable"),
    (aiohttp.ClientError, "broken"),
)


def timed_requests(
    providers: Mapping[str, str], monotonic: Callable[[], float]
) -> ClientMiddlewareType:
    """A middleware for the session that providers share; `providers`: base URL to the provider's word."""
    bases = tuple(providers.items())

    # One text's address is the next one's too.
    @lru_cache(maxsize=16)
    def provider_of(url: URL) -> str:
        return next((provider for base, provider in bases if str(url).startswith(base)), OTHER)

    async def timed(
        request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        started = monotonic()
        code = OTHER
        try:
            response = await handler(request)
            code = _STATUSES.get(response.status, OTHER)
        except Exception as error:
            code = next((word for kind, word in _FAILURES if isinstance(error, kind)), OTHER)
            raise
        else:
            return response
        finally:
            PROVIDER_REQUEST.observe(monotonic() - started, 1, provider_of(request.url), code)

    return timed
