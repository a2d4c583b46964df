"""Which web pages may read the banner: exact origins from the settings, and our own."""

from typing import Final

from aiohttp import web
from yarl import URL

from dispatcher.context import Context
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.boundary import CONTEXT
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Call

PREFIX: Final = "/v1/banner"
_ALLOWED_HEADERS: Final = "authorization, content-type, if-none-match, last-event-id"


def check_origin(request: web.Request, ctx: Context) -> None:
    """Raises WebRefusedError (403) for a page that is not listed; programs send no Origin."""
    origin = request.headers.get("Origin")
    if origin is not None and not _is_allowed(ctx, origin):
        raise WebRefusedError("origin-not-allowed")


async def preflight(call: Call[None, NoQuery]) -> web.Response:
    """What a browser asks before it sends a token across origins."""
    check_origin(call.request, call.ctx)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        },
    )


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On answers and refusals alike: a script must be able to see that its token has expired."""
    if not request.path.startswith(PREFIX):
        return
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("Origin")
    if origin is not None and _is_allowed(request.app[CONTEXT], origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, X-Request-Id"


def _is_allowed(ctx: Context, origin: str) -> bool:
    settings = ctx.settings
    return origin in settings.banner.origins or origin == str(URL(settings.public_url).origin())
