"""The addresses below /api/v2, and the feeds."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from dispatcher.rules.problem import not_found
from dispatcher.web.pages import with_etag
from dispatcher.web.public.feeds import atom, rss
from dispatcher.web.public.glance import GLANCE
from dispatcher.web.public.models import (
    ComponentsDocument,
    IncidentsDocument,
    MaintenancesDocument,
    StatusDocument,
    SummaryDocument,
)
from dispatcher.web.public.read import Look, is_over
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Call, Route
from dispatcher.web.scopes import Guard

FRESH_S: Final = 15
_FEED: Final = 50

Asked = Call[None, AnyQuery]


def _summary(look: Look) -> SummaryDocument:
    """What goes on now: the worst of it as a word, components, open incidents, maintenance."""
    return SummaryDocument(
        page=look.page,
        status=look.status,
        components=list(look.components),
        incidents=[item for item in look.incidents if not is_over(item)],
        scheduled_maintenances=[item for item in look.maintenances if not is_over(item)],
    )


def _status(look: Look) -> StatusDocument:
    """The worst that is going on, as a word and in words."""
    return StatusDocument(page=look.page, status=look.status)


def _components(look: Look) -> ComponentsDocument:
    """Every component under the name customers know, and how it is."""
    return ComponentsDocument(page=look.page, components=list(look.components))


def _incidents(look: Look) -> IncidentsDocument:
    """The last fifty incidents with everything that was said."""
    return IncidentsDocument(page=look.page, incidents=list(look.incidents)[:_FEED])


def _unresolved(look: Look) -> IncidentsDocument:
    """Incidents that go on."""
    going_on = [item for item in look.incidents if not is_over(item)]
    return IncidentsDocument(page=look.page, incidents=going_on)


def _maintenances(look: Look) -> MaintenancesDocument:
    """Planned work: to come, under way and over."""
    return MaintenancesDocument(page=look.page, scheduled_maintenances=list(look.maintenances))


def _handler(
    document: Callable[[Look], bytes], content_type: str, doc: str | None
) -> Callable[[Asked], Awaitable[web.StreamResponse]]:
    async def handle(call: Asked) -> web.StreamResponse:
        if not call.ctx.settings.status.public:
            raise not_found("public status; an operator may set TIDINGS_STATUS__PUBLIC")
        body = document(await call.request.app[GLANCE].look())
        response = web.Response(body=body, content_type=content_type, charset="utf-8")
        answer = with_etag(call.request, response, max_age_s=FRESH_S)
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

    handle.__doc__ = doc
    return handle


def _json(
    path: str, operation: str, document: Callable[[Look], BaseModel], reply: type[BaseModel]
) -> Route[None, AnyQuery]:
    def as_bytes(look: Look) -> bytes:
        return document(look).model_dump_json().encode()

    return Route(
        method="GET",
        path=f"/api/v2/{path}.json",
        operation=operation,
        guard=Guard.OPEN,
        handler=_handler(as_bytes, "application/json", document.__doc__),
        query=AnyQuery,
        replies={200: reply},
    )


def _feed(path: str, operation: str, feed: Callable[[Look], bytes], kind: str) -> Route[None, Any]:
    return Route(
        method="GET",
        path=path,
        operation=operation,
        guard=Guard.OPEN,
        handler=_handler(feed, kind, feed.__doc__),
        query=AnyQuery,
    )


PUBLIC_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    _json("summary", "public_summary", _summary, SummaryDocument),
    _json("status", "public_status", _status, StatusDocument),
    _json("components", "public_components", _components, ComponentsDocument),
    _json("incidents", "public_incidents", _incidents, IncidentsDocument),
    _json("incidents/unresolved", "public_unresolved", _unresolved, IncidentsDocument),
    _json("scheduled-maintenances", "public_maintenances", _maintenances, MaintenancesDocument),
    _feed("/history.atom", "public_atom", atom, "application/atom+xml"),
    _feed("/history.rss", "public_rss", rss, "application/rss+xml"),
)
