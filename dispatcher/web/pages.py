"""The few pages people see: plain HTML from our own templates, own CSS, nothing inline."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from dispatcher.rules.problem import not_found
from dispatcher.web.encodings import Unchanging
from dispatcher.web.routing import Plain

PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SCRIPT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {
    "pages.css": "text/css",
    "report.css": "text/css",
    "report.js": "text/javascript",
    "demo.js": "text/javascript",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "banner.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_FRESH_S: Final = 3600
_STATIC: Final = files("dispatcher.web") / "static"
_pages: Final = Environment(
    loader=PackageLoader("dispatcher.web", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    template: str,
    names: Mapping[str, object],
    *,
    status: int = 200,
    policy: str = PAGE_POLICY,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """One page; `names` are what its template prints, escaped."""
    return web.Response(
        text=_pages.get_template(template).render(names),
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={"Content-Security-Policy": policy, **(headers or {})},
    )


def with_etag(request: web.Request, response: web.Response, *, max_age_s: int) -> web.Response:
    """The response with an ETag over its body; 304 when the caller has it already."""
    body = response.body if isinstance(response.body, bytes) else b""
    etag = hashlib.sha256(body).hexdigest()[:32]
    cache = "no-store" if max_age_s == 0 else f"public, max-age={max_age_s}"
    known = request.if_none_match or ()
    if any(tag.value in {etag, "*"} for tag in known):
        return web.Response(status=304, headers={"ETag": f'"{etag}"', "Cache-Control": cache})
    response.headers["ETag"] = f'"{etag}"'
    response.headers["Cache-Control"] = cache
    return response


async def get_static(call: Plain) -> web.Response:
    """Style sheets and scripts of our own pages."""
    name = call.path("name")
    if name not in _TYPES:
        raise not_found("file")
    return await static(name).answer(call.request, fresh_s=_FRESH_S)


@cache
def static(name: str) -> Unchanging:
    """One of our own style sheets and scripts."""
    return Unchanging((_STATIC / name).read_bytes(), f"{_TYPES[name]}; charset=utf-8")
