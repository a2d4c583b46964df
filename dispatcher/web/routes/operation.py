"""What providers and operators call."""

from typing import Any, Final

from dispatcher.web import (
    health,
    metrics,
    receipts,
)
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
    get("/readyz", "readyz", Guard.OPEN, health.readyz, NoQuery, health.Health),
    page("/metrics", "metrics", metrics.get_metrics, AnyQuery, media=("text/plain",)),
)
