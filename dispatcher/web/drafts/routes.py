"""The addresses of drafts."""

from typing import Any, Final

from dispatcher.stages.accept import DraftPatch
from dispatcher.web.drafts import handlers
from dispatcher.web.drafts.models import (
    Discarded,
    DiscardQuery,
    Draft,
    DraftPage,
    DraftQuery,
    RevisionPage,
)
from dispatcher.web.lists import PageQuery
from dispatcher.web.models import UpdateAccepted
from dispatcher.web.preview_models import Preview
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import act, get
from dispatcher.web.scopes import Scope

_ONE: Final = "/v1/drafts/{update_id}"

DRAFT_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    get(
        "/v1/drafts",
        "list_drafts",
        Scope.INCIDENTS_READ,
        handlers.list_drafts,
        DraftQuery,
        DraftPage,
    ),
    get(_ONE, "get_draft", Scope.INCIDENTS_READ, handlers.get_draft, NoQuery, Draft),
    get(
        f"{_ONE}/revisions",
        "list_draft_revisions",
        Scope.INCIDENTS_READ,
        handlers.list_revisions,
        PageQuery,
        RevisionPage,
    ),
    Route(
        method="PATCH",
        path=_ONE,
        operation="patch_draft",
        guard=Scope.UPDATES_WRITE,
        handler=handlers.patch_draft,
        query=NoQuery,
        body=DraftPatch,
        replies={200: Draft},
    ),
    act(
        f"{_ONE}/preview",
        "preview_draft",
        Scope.UPDATES_WRITE,
        handlers.post_preview,
        {200: Preview},
    ),
    act(
        f"{_ONE}/submit",
        "submit_draft",
        Scope.APPROVALS_WRITE,
        handlers.submit_draft,
        {202: UpdateAccepted, 200: UpdateAccepted},
    ),
    Route(
        method="DELETE",
        path=_ONE,
        operation="discard_draft",
        guard=Scope.UPDATES_WRITE,
        handler=handlers.discard_draft,
        query=DiscardQuery,
        replies={200: Discarded},
    ),
)
