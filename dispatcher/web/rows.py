"""Short ways to write the rows of the route table that occur often."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from dispatcher.web.customer_models import Stored
from dispatcher.web.limits import QuotaOf
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Handler, Route
from dispatcher.web.scopes import Guard, Scope

Q = TypeVar("Q", bound=BaseModel)


def get(
    path: str,
    operation: str,
    guard: Scope | Guard,
    handler: Handler[None, Q],
    query: type[Q],
    reply: type[BaseModel],
) -> Route[None, Q]:
    """A GET that answers with JSON."""
    return Route(
        method="GET",
        path=path,
        operation=operation,
        guard=guard,
        handler=handler,
        query=query,
        replies={200: reply},
    )


def act(
    path: str,
    operation: str,
    scope: Scope,
    handler: Handler[None, NoQuery],
    replies: Mapping[int, type[BaseModel]],
) -> Route[None, NoQuery]:
    """A POST without a body."""
    return Route(
        method="POST",
        path=path,
        operation=operation,
        guard=scope,
        handler=handler,
        query=NoQuery,
        replies=replies,
    )


def put(
    thing: str, folder: str, body: type[BaseModel], handler: Handler[Any, NoQuery]
) -> Route[Any, NoQuery]:
    """Create or change one customer record, named by the path."""
    return Route(
        method="PUT",
        path=f"/v1/{folder}/{{external_id}}",
        operation=f"put_{thing}",
        guard=Scope.SEGMENTS_WRITE,
        handler=handler,
        query=NoQuery,
        body=body,
        named_by="external_id",
        replies={200: Stored, 201: Stored},
    )


def page(
    path: str,
    operation: str,
    handler: Handler[None, Q],
    query: type[Q],
    guard: Scope | Guard = Guard.OPEN,
    media: tuple[str, ...] = ("text/html",),
    *,
    quota: QuotaOf | None = None,
) -> Route[None, Q]:
    """A GET that answers with something else than JSON: `media`."""
    return Route(
        method="GET",
        path=path,
        operation=operation,
        guard=guard,
        handler=handler,
        query=query,
        media={200: media},
        quota=quota,
    )
