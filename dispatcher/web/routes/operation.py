"""What providers and operators call."""

from typing import Any, Final

from dispatcher.web import (
    health,
    metrics,
    receipts,
)
from dispatcher.web.answers import JSON
from dispatcher.web.openapi.door import get_openapi
from dispatcher.web.reading import NoQuery
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import get, page
from dispatcher.web.scopes import Guard

OPERATION_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    Route(
        method="POST",
        path="/v1/receipts/{provider}",
        operation="post_receipts",
        guard=Guard.PROVIDER_SIGNATURE,
        handler=receipts.post_receipts,
        query=AnyQuery,
        media={204: ()},
    ),
    get("/healthz", "healthz", Guard.OPEN, health.healthz, NoQuery, health.Health),
    Route(
        method="GET",
        path="/readyz",
        operation="readyz",
        guard=Guard.OPEN,
        handler=health.readyz,
        query=NoQuery,
        replies={200: health.Health, 503: health.Health},
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        operation="get_openapi",
        guard=Guard.OPEN,
        handler=get_openapi,
        query=NoQuery,
        media={200: (JSON,)},
    ),
    page("/metrics", "metrics", metrics.get_metrics, AnyQuery, media=("text/plain",)),
)
