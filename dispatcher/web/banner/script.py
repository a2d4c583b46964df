"""`/banner/v1.js`: the script that customers' pages embed. The number changes when its attributes do."""

from typing import Final

from aiohttp import web

from dispatcher.web.pages import static_response, with_etag
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Call

# A mistake in it must not live in browsers for days.
FRESH_S: Final = 300


async def get_script(call: Call[None, AnyQuery]) -> web.Response:
    """The banner, for a page of yours: `data-token-url` or `data-token`, and `data-mount`."""
    response = static_response("banner.js")
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return with_etag(call.request, response, max_age_s=FRESH_S)
