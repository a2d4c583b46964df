"""`/banner/v1.js`: the script that customers' pages embed. The number changes when its attributes do."""

from typing import Final

from aiohttp import web

from dispatcher.web.pages import static
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Call

# A mistake in it must not live in browsers for days.
FRESH_S: Final = 300


async def get_script(call: Call[None, AnyQuery]) -> web.Response:
    """The banner, for a page of yours: `data-token-url` or `data-token`, and `data-mount`."""
    response = await static("banner.js").answer(call.request, fresh_s=FRESH_S)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
