"""Updates and incidents."""

from typing import Any, Final

from dispatcher.stages.accept import UpdateIn
from dispatcher.web import (
    incidents,
    updates,
)
from dispatcher.web.incidents import IncidentPage, IncidentQuery, UpdatePage
from dispatcher.web.limits import of_updates
from dispatcher.web.lists import PageQuery
from dispatcher.web.models import (
    Incident,
    UpdateAccepted,
    UpdateWithRenderings,
)
from dispatcher.web.preview_models import Preview
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import get
from dispatcher.web.scopes import Scope

UPDATE_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    Route(
        method="POST",
        path="/v1/updates",
        operation="post_update",
        guard=Scope.UPDATES_WRITE,
        handler=updates.post_update,
        query=NoQuery,
        body=UpdateIn,
        replies={202: UpdateAccepted, 200: Preview},
        quota=of_updates,
    ),
    get(
        "/v1/updates/{update_id}",
        "get_update",
        Scope.INCIDENTS_READ,
        incidents.get_update,
        NoQuery,
        UpdateWithRenderings,
    ),
    get(
        "/v1/incidents",
        "list_incidents",
        Scope.INCIDENTS_READ,
        incidents.list_incidents,
        IncidentQuery,
        IncidentPage,
    ),
    get(
        "/v1/incidents/{incident_id}",
        "get_incident",
        Scope.INCIDENTS_READ,
        incidents.get_incident,
        NoQuery,
        Incident,
    ),
    get(
        "/v1/incidents/{incident_id}/updates",
        "list_updates",
        Scope.INCIDENTS_READ,
        incidents.list_updates,
        PageQuery,
        UpdatePage,
    ),
)
