"""Around every request: its id, the log line, security headers, and the one place errors end."""

import re
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPException, HTTPMethodNotAllowed

from dispatcher.context import Context
from dispatcher.db import AWAY
from dispatcher.metrics import INTAKE_REJECTED, one_of
from dispatcher.rules.problem import RefusedError
from dispatcher.web.answers import WebRefusedError, problem_response
from dispatcher.web.problems import BY_STATUS

log = structlog.get_logger(__name__)

CONTEXT = web.AppKey("context", Context)
REQUEST_ID = web.RequestKey("request_id", str)
SPENT = web.RequestKey("spent", dict[str, str])
"""Headers that tell how much the caller may still call, where that is limited."""

SENDER = web.RequestKey("sender", str)
"""What kind of source an event came to, once that is known."""

RETRY_AFTER_S = 5
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id (the caller's, when it is harmless) and leave one line in the log.

    The line names the route, never the path: paths hold tokens.
    """
    ctx = request.app[CONTEXT]
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{ctx.rng.getrandbits(64):016x}"
    request[REQUEST_ID] = request_id
    started = ctx.clock.monotonic()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await handler(request)
        resource = request.match_info.route.resource
        log.info(
            "http.request",
            method=request.method if request.method in _METHODS else "other",
            route=resource.canonical if resource else "",
            status=response.status,
            ms=round((ctx.clock.monotonic() - started) * 1000),
        )
    return response


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


@web.middleware
async def turn_errors_into_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal and every fault leaves as application/problem+json; no traceback, no input."""
    try:
        return await handler(request)
    except RefusedError as refused:
        problem = refused
    except HTTPMethodNotAllowed as error:
        if request.method == "OPTIONS":
            return _options(error)
        problem = _from_http(error)
    except HTTPException as error:
        problem = _from_http(error)
    except (web.PayloadAccessError, HttpProcessingError, web.RequestPayloadError):
        problem = WebRefusedError("malformed-request")
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may pass it
        problem = _from_fault(error)
    _count(request, problem)
    return problem_response(
        problem, public_url=request.app[CONTEXT].settings.public_url, request_id=request[REQUEST_ID]
    )


def _count(request: web.Request, problem: RefusedError) -> None:
    """What was not taken in, by the door at which it stood."""
    channels = request.app[CONTEXT].channels.values()
    match request.match_info.route.name:
        case "post_update":
            source = "api"
        case "post_intake" | "post_intake_with_secret":
            source = request.get(SENDER, "intake")
        case "post_receipts":
            providers = {channel.provider for channel in channels}
            source = one_of(request.match_info["provider"], providers)
        case _:
            return
    INTAKE_REJECTED.labels(source, problem.kind).inc()


def _options(error: HTTPMethodNotAllowed) -> web.Response:
    """What may be asked here: for people with curl. No other origin is let in by it."""
    return web.Response(status=204, headers={"Allow": _allowed(error)})


def _allowed(error: HTTPMethodNotAllowed) -> str:
    return ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))


def _from_http(error: HTTPException) -> WebRefusedError:
    headers = {}
    if isinstance(error, HTTPMethodNotAllowed):
        headers["Allow"] = _allowed(error)
    return WebRefusedError(BY_STATUS.get(error.status, "malformed-request"), headers=headers)


def _from_fault(error: Exception) -> WebRefusedError:
    if is_database_trouble(error):
        log.error("http.database_away", error=type(error).__name__)
        return WebRefusedError("unavailable", headers={"Retry-After": str(RETRY_AFTER_S)})
    log.error("http.fault", exc_info=error)
    return WebRefusedError("internal-error")


def is_database_trouble(error: Exception) -> bool:
    """Whether the database is away or overloaded, as opposed to a fault in this program."""
    return isinstance(error, AWAY)


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Defaults for whatever a handler did not decide itself: nothing may be guessed, framed, kept."""
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Content-Security-Policy", _API_POLICY)
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cache-Control", "no-store")
    if request.app[CONTEXT].settings.public_url.startswith("https:"):
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    headers.update(request.get(SPENT, {}))
    headers.popall("Server", None)
