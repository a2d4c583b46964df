"""`/docs`: the description in Swagger UI, which is part of this program; nothing comes from elsewhere."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson
from aiohttp import web

from dispatcher.rules.problem import not_found
from dispatcher.web.encodings import Unchanging
from dispatcher.web.pages import page
from dispatcher.web.routing import Plain

VENDORED: Final = files("dispatcher.web") / "static" / "vendor" / "swagger-ui"
# Swagger UI carries its icons as data in its style sheet.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_FRESH_S: Final = 86_400


@cache
def manifest() -> Mapping[str, Any]:
    """What is vendored: name, version, licence, and the hash of each file as browsers check it."""
    found: dict[str, Any] = orjson.loads((VENDORED / "manifest.json").read_bytes())
    return found


async def go_to_docs(_call: Plain) -> web.Response:
    """Whoever opens the bare address finds the description there is."""
    return web.Response(status=302, headers={"Location": "/docs"}, text="See /docs\n")


async def get_docs(_call: Plain) -> web.Response:
    """The page."""
    return page("api_docs.html", {"files": manifest()["files"]}, policy=_POLICY)


async def get_vendored(call: Plain) -> web.Response:
    """Swagger UI's own script and style sheet."""
    name = call.path("name")
    if name not in _TYPES:
        raise not_found("file")
    return await _vendored(name).answer(call.request, fresh_s=_FRESH_S)


@cache
def _vendored(name: str) -> Unchanging:
    return Unchanging((VENDORED / name).read_bytes(), f"{_TYPES[name]}; charset=utf-8")
