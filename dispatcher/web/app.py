"""The web application: routes, middlewares, and what starts and stops with it."""

import asyncio

from aiohttp import web

from dispatcher.context import Context
from dispatcher.intake.troubles import Brake
from dispatcher.watch import Lookout
from dispatcher.web.admission import ACQUAINTANCES, Acquaintances
from dispatcher.web.banner.cors import add_cors_headers
from dispatcher.web.banner.hub import HUB, Hub, end_streams, keep_hub
from dispatcher.web.boundary import (
    CONTEXT,
    add_security_headers,
    identify,
    turn_errors_into_problems,
)
from dispatcher.web.health import LOOKOUT
from dispatcher.web.intake.door import BRAKE
from dispatcher.web.limits import BUCKETS, Buckets
from dispatcher.web.openapi.door import DESCRIPTION, Description
from dispatcher.web.people.oidc_provider import PROVIDER, Provider
from dispatcher.web.preview import PREVIEWS
from dispatcher.web.public.glance import GLANCE, Glance
from dispatcher.web.reading import RECEIPT_LIMIT
from dispatcher.web.receipts import keep_reserved
from dispatcher.web.report_page.live import LIVE, Live, end_watches
from dispatcher.web.routes import ROUTES
from dispatcher.web.routing import as_aiohttp

SHUTDOWN_TIMEOUT_S = 3.0
# A longer line never reaches a handler: the library refuses it in words of its own, without an id.
LINE_LIMIT = 64 * 1024


def create_app(ctx: Context) -> web.Application:
    """The application on `ctx`, whose pool is open; run it with any aiohttp runner."""
    app = web.Application(
        middlewares=[identify, turn_errors_into_problems], client_max_size=RECEIPT_LIMIT
    )
    app[CONTEXT] = ctx
    app[BUCKETS] = Buckets()
    app[ACQUAINTANCES] = Acquaintances()
    app[BRAKE] = Brake()
    app[DESCRIPTION] = Description(ROUTES)
    for route in ROUTES:
        handler = as_aiohttp(route)
        app.router.add_route(route.method, route.path, handler, name=route.operation)
        if route.method == "GET" and not route.endless:
            app.router.add_route("HEAD", route.path, handler, name=route.operation)
    app.on_response_prepare.append(add_security_headers)
    app.on_response_prepare.append(add_cors_headers)
    app[PREVIEWS] = asyncio.Semaphore(ctx.settings.preview.at_once)
    app[HUB] = Hub(ctx)
    app[LOOKOUT] = Lookout(ctx)
    app[PROVIDER] = Provider(ctx.settings.oidc, ctx.clock)
    app[GLANCE] = Glance(ctx)
    app.cleanup_ctx.append(keep_hub)
    app.cleanup_ctx.append(keep_reserved)
    app.on_shutdown.append(end_streams)
    app[LIVE] = Live(ctx)
    app.on_shutdown.append(end_watches)
    return app


def make_runner(ctx: Context) -> web.AppRunner:
    """The runner that fits: no access log, for paths hold tokens; nothing decompressed unasked.

    The library would unpack any body before a handler could refuse it.
    """
    return web.AppRunner(
        create_app(ctx),
        access_log=None,
        auto_decompress=False,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        max_line_size=LINE_LIMIT,
        max_field_size=LINE_LIMIT,
    )
