"""Every address this program answers at. The API's description is made from this table."""

from typing import Any, Final, TypeVar

from pydantic import BaseModel

from dispatcher.stages.accept import UpdateIn
from dispatcher.web import dispatches, health, incidents, overview, receipts, updates
from dispatcher.web.dispatches import DeliveryPage, DeliveryQuery
from dispatcher.web.incidents import IncidentPage, IncidentQuery, UpdatePage
from dispatcher.web.lists import PageQuery
from dispatcher.web.models import (
    ChannelList,
    Dispatch,
    DispatchControlled,
    Incident,
    Preview,
    SegmentList,
    UpdateAccepted,
    UpdateWithRenderings,
)
from dispatcher.web.reading import NoQuery
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Handler, Route
from dispatcher.web.scopes import Guard, Scope

Q = TypeVar("Q", bound=BaseModel)


def _get(
    path: str,
    operation: str,
    guard: Scope | Guard,
    handler: Handler[None, Q],
    query: type[Q],
    reply: type[BaseModel],
) -> Route[None, Q]:
    return Route(
        method="GET",
        path=path,
        operation=operation,
        guard=guard,
        handler=handler,
        query=query,
        replies={200: reply},
    )


def _act(
    path: str, operation: str, scope: Scope, handler: Handler[None, NoQuery], reply: Any = None
) -> Route[None, NoQuery]:
    """A POST without a body."""
    return Route(
        method="POST",
        path=path,
        operation=operation,
        guard=scope,
        handler=handler,
        query=NoQuery,
        replies=reply,
    )


_API: Final[tuple[Route[Any, Any], ...]] = (
    Route(
        method="POST",
        path="/v1/updates",
        operation="post_update",
        guard=Scope.UPDATES_WRITE,
        handler=updates.post_update,
        query=NoQuery,
        body=UpdateIn,
        replies={202: UpdateAccepted, 200: Preview},
    ),
    _get(
        "/v1/updates/{update_id}",
        "get_update",
        Scope.INCIDENTS_READ,
        incidents.get_update,
        NoQuery,
        UpdateWithRenderings,
    ),
    _act(
        "/v1/updates/{update_id}/release",
        "release_update",
        Scope.APPROVALS_WRITE,
        updates.release_update,
        {202: UpdateAccepted},
    ),
    _get(
        "/v1/incidents",
        "list_incidents",
        Scope.INCIDENTS_READ,
        incidents.list_incidents,
        IncidentQuery,
        IncidentPage,
    ),
    _get(
        "/v1/incidents/{incident_id}",
        "get_incident",
        Scope.INCIDENTS_READ,
        incidents.get_incident,
        NoQuery,
        Incident,
    ),
    _get(
        "/v1/incidents/{incident_id}/updates",
        "list_updates",
        Scope.INCIDENTS_READ,
        incidents.list_updates,
        PageQuery,
        UpdatePage,
    ),
    _get(
        "/v1/dispatches/{dispatch_id}",
        "get_dispatch",
        Scope.DELIVERIES_READ,
        dispatches.get_dispatch,
        NoQuery,
        Dispatch,
    ),
    _get(
        "/v1/dispatches/{dispatch_id}/deliveries",
        "list_deliveries",
        Scope.DELIVERIES_READ,
        dispatches.list_deliveries,
        DeliveryQuery,
        DeliveryPage,
    ),
    _act(
        "/v1/dispatches/{dispatch_id}/cancel",
        "cancel_dispatch",
        Scope.UPDATES_WRITE,
        dispatches.cancel,
        {200: DispatchControlled},
    ),
    _act(
        "/v1/dispatches/{dispatch_id}/pause",
        "pause_dispatch",
        Scope.UPDATES_WRITE,
        dispatches.pause,
        {200: DispatchControlled},
    ),
    _act(
        "/v1/dispatches/{dispatch_id}/resume",
        "resume_dispatch",
        Scope.UPDATES_WRITE,
        dispatches.resume,
        {200: DispatchControlled},
    ),
    _get(
        "/v1/channels",
        "list_channels",
        Scope.DELIVERIES_READ,
        overview.list_channels,
        NoQuery,
        ChannelList,
    ),
    _get(
        "/v1/segments",
        "list_segments",
        Scope.INCIDENTS_READ,
        overview.list_segments,
        NoQuery,
        SegmentList,
    ),
    Route(
        method="POST",
        path="/v1/receipts/{provider}",
        operation="post_receipts",
        guard=Guard.PROVIDER_SIGNATURE,
        handler=receipts.post_receipts,
        query=AnyQuery,
    ),
)

_OPERATION: Final[tuple[Route[Any, Any], ...]] = (
    _get("/healthz", "healthz", Guard.OPEN, health.healthz, NoQuery, health.Health),
    _get("/readyz", "readyz", Guard.OPEN, health.readyz, NoQuery, health.Health),
)

ROUTES: Final = _API + _OPERATION
