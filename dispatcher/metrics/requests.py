"""How long providers take, measured around every request to one of them."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from prometheus_client import Histogram

from dispatcher.metrics.counted import OTHER

PROVIDER_REQUEST: Final = Histogram(
    "tidings_provider_request_seconds",
    "From a request to a provider to the head of its answer; code is its status, or what failed.",
    ["provider", "code"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_STATUSES: Final = frozenset(HTTPStatus)
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

    def provider_of(url: str) -> str:
        return next((provider for base, provider in bases if url.startswith(base)), OTHER)

    async def timed(
        request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        started = monotonic()
        code = OTHER
        try:
            response = await handler(request)
            code = str(response.status) if response.status in _STATUSES else OTHER
        except Exception as error:
            code = next((word for kind, word in _FAILURES if isinstance(error, kind)), OTHER)
            raise
        else:
            return response
        finally:
            spent = monotonic() - started
            PROVIDER_REQUEST.labels(provider_of(str(request.url)), code).observe(spent)

    return timed
