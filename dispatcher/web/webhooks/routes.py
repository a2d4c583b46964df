"""The addresses of webhooks."""

from typing import Any, Final

from dispatcher.web.customer_models import Stored
from dispatcher.web.lists import PageQuery
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import act, get
from dispatcher.web.scopes import Scope
from dispatcher.web.webhooks import deliveries, endpoints
from dispatcher.web.webhooks.models import (
    LogQuery,
    RotateWebhookIn,
    WebhookDelivery,
    WebhookDeliveryPage,
    WebhookIn,
    WebhookPage,
    WebhookPatch,
    WebhookTested,
    WebhookView,
    WebhookWithSecret,
)

_ALL: Final = "/v1/webhooks"
_ONE: Final = f"{_ALL}/{{webhook_id}}"

WEBHOOK_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    get(_ALL, "list_webhooks", Scope.ADMIN, endpoints.list_all, PageQuery, WebhookPage),
    Route(
        method="POST",
        path=_ALL,
        operation="post_webhook",
        guard=Scope.ADMIN,
        handler=endpoints.post_webhook,
        query=NoQuery,
        body=WebhookIn,
        replies={201: WebhookWithSecret},
    ),
    get(_ONE, "get_webhook", Scope.ADMIN, endpoints.get_webhook, NoQuery, WebhookView),
    Route(
        method="PATCH",
        path=_ONE,
        operation="patch_webhook",
        guard=Scope.ADMIN,
        handler=endpoints.patch_webhook,
        query=NoQuery,
        body=WebhookPatch,
        replies={200: WebhookView},
    ),
    Route(
        method="DELETE",
        path=_ONE,
        operation="remove_webhook",
        guard=Scope.ADMIN,
        handler=endpoints.delete_webhook,
        query=NoQuery,
        replies={200: Stored},
    ),
    Route(
        method="POST",
        path=f"{_ONE}/rotate",
        operation="rotate_webhook",
        guard=Scope.ADMIN,
        handler=endpoints.post_rotate,
        query=NoQuery,
        body=RotateWebhookIn,
        replies={200: WebhookWithSecret},
    ),
    act(f"{_ONE}/enable", "enable_webhook", Scope.ADMIN, endpoints.post_enable, {200: WebhookView}),
    act(
        f"{_ONE}/disable",
        "disable_webhook",
        Scope.ADMIN,
        endpoints.post_disable,
        {200: WebhookView},
    ),
    act(f"{_ONE}/test", "test_webhook", Scope.ADMIN, deliveries.post_test, {200: WebhookTested}),
    get(
        f"{_ONE}/deliveries",
        "list_webhook_deliveries",
        Scope.ADMIN,
        deliveries.list_log,
        LogQuery,
        WebhookDeliveryPage,
    ),
    act(
        f"{_ONE}/deliveries/{{delivery_id}}/resend",
        "resend_webhook_delivery",
        Scope.ADMIN,
        deliveries.post_resend,
        {202: WebhookDelivery},
    ),
)
