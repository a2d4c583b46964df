"""Pages for people who were told something."""

from typing import Any, Final

from dispatcher.web import (
    problem_pages,
    unsubscribe,
)
from dispatcher.web.banner import demo
from dispatcher.web.incident_page import get_incident_page
from dispatcher.web.limits import by_address
from dispatcher.web.openapi.docs_page import get_docs, get_vendored, go_to_docs
from dispatcher.web.pages import get_static
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import get, page
from dispatcher.web.scopes import Guard

PAGE_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    page("/i/{incident_id}", "incident_page", get_incident_page, AnyQuery),
    page(
        "/u/{token}",
        "unsubscribe_page",
        unsubscribe.get_unsubscribe,
        AnyQuery,
        quota=by_address,
    ),
    Route(
        method="POST",
        path="/u/{token}",
        operation="unsubscribe",
        guard=Guard.OPEN,
        handler=unsubscribe.post_unsubscribe,
        query=AnyQuery,
        media={200: ("text/html",)},
        quota=by_address,
    ),
    page("/problems", "problems_page", problem_pages.list_problems, AnyQuery),
    page("/problems/{kind}", "problem_page", problem_pages.get_problem, AnyQuery),
    page("/static/{name}", "static_file", get_static, AnyQuery),
    page("/static/vendor/{name}", "vendored_file", get_vendored, AnyQuery),
    Route(
        method="GET",
        path="/",
        operation="front_door",
        guard=Guard.OPEN,
        handler=go_to_docs,
        query=AnyQuery,
        media={302: ("text/plain",)},
    ),
    page("/docs", "api_docs", get_docs, AnyQuery),
    page("/demo/banner", "demo_banner", demo.get_demo_page, demo.DemoQuery),
    get(
        "/demo/banner/token",
        "demo_banner_token",
        Guard.OPEN,
        demo.get_demo_token,
        demo.DemoQuery,
        demo.DemoToken,
    ),
)
