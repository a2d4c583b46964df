"""The addresses of sources, their door and the inspector."""

from typing import Any, Final

from dispatcher.web.customer_models import Stored
from dispatcher.web.intake import door, events, sources
from dispatcher.web.intake.models import (
    EventPage,
    IntakeIgnored,
    IntakeTaken,
    ReplayIn,
    RotateIn,
    SourceIn,
    SourcePage,
    SourcePatch,
    SourceView,
    SourceWithSecret,
)
from dispatcher.web.lists import PageQuery
from dispatcher.web.reading import NoQuery
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import get
from dispatcher.web.scopes import Guard, Scope

_ONE: Final = "/v1/sources/{source_id}"

INTAKE_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    *(
        Route(
            method="POST",
            path=path,
            operation=operation,
            guard=Guard.SENDER_PROOF,
            handler=door.post_intake,
            query=AnyQuery,
            replies={202: IntakeTaken, 200: IntakeIgnored},
        )
        for path, operation in (
            ("/v1/intake/{source_id}", "post_intake"),
            ("/v1/intake/{source_id}/{secret}", "post_intake_with_secret"),
        )
    ),
    get("/v1/sources", "list_sources", Scope.ADMIN, sources.list_all, PageQuery, SourcePage),
    Route(
        method="POST",
        path="/v1/sources",
        operation="post_source",
        guard=Scope.ADMIN,
        handler=sources.post_source,
        query=NoQuery,
        body=SourceIn,
        replies={201: SourceWithSecret},
    ),
    get(_ONE, "get_source", Scope.ADMIN, sources.get_source, NoQuery, SourceView),
    Route(
        method="PATCH",
        path=_ONE,
        operation="patch_source",
        guard=Scope.ADMIN,
        handler=sources.patch_source,
        query=NoQuery,
        body=SourcePatch,
        replies={200: SourceView},
    ),
    Route(
        method="DELETE",
        path=_ONE,
        operation="remove_source",
        guard=Scope.ADMIN,
        handler=sources.delete_source,
        query=NoQuery,
        replies={200: Stored},
    ),
    Route(
        method="POST",
        path=f"{_ONE}/rotate",
        operation="rotate_source",
        guard=Scope.ADMIN,
        handler=sources.post_rotate,
        query=NoQuery,
        body=RotateIn,
        replies={200: SourceWithSecret},
    ),
    get(f"{_ONE}/events", "list_intake_events", Scope.ADMIN, events.list_all, PageQuery, EventPage),
    Route(
        method="POST",
        path=f"{_ONE}/events/{{event_id}}/replay",
        operation="replay_intake_event",
        guard=Scope.ADMIN,
        handler=events.post_replay,
        query=NoQuery,
        body=ReplayIn,
        replies={202: IntakeTaken, 200: IntakeIgnored},
    ),
)
