"""Dispatches, who they told, and exports."""

from typing import Any, Final

from dispatcher.stages.report import (
    AccountDeliveries,
    AccountInDispatch,
    AccountPage,
    DispatchReport,
)
from dispatcher.web import (
    dispatches,
    exports,
    reports,
)
from dispatcher.web.deliveries import DeliveryPage, DeliveryQuery, list_deliveries
from dispatcher.web.dispatch_list import DispatchesQuery, DispatchPage, list_dispatches
from dispatcher.web.models import (
    Dispatch,
    DispatchControlled,
)
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import act, get, page
from dispatcher.web.scopes import Scope

DISPATCH_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    get(
        "/v1/dispatches",
        "list_dispatches",
        Scope.DELIVERIES_READ,
        list_dispatches,
        DispatchesQuery,
        DispatchPage,
    ),
    get(
        "/v1/dispatches/{dispatch_id}",
        "get_dispatch",
        Scope.DELIVERIES_READ,
        dispatches.get_dispatch,
        NoQuery,
        Dispatch,
    ),
    get(
        "/v1/dispatches/{dispatch_id}/deliveries",
        "list_deliveries",
        Scope.DELIVERIES_READ,
        list_deliveries,
        DeliveryQuery,
        DeliveryPage,
    ),
    *(
        get(
            f"/v1/dispatches/{{dispatch_id}}/report{suffix}",
            f"get_report{suffix.replace('.', '_')}",
            Scope.DELIVERIES_READ,
            reports.get_report,
            NoQuery,
            DispatchReport,
        )
        for suffix in ("", ".json")
    ),
    get(
        "/v1/dispatches/{dispatch_id}/accounts",
        "list_dispatch_accounts",
        Scope.DELIVERIES_READ,
        reports.list_accounts,
        reports.AccountsQuery,
        AccountPage,
    ),
    get(
        "/v1/dispatches/{dispatch_id}/accounts/{external_id}",
        "get_dispatch_account",
        Scope.DELIVERIES_READ,
        reports.get_account,
        NoQuery,
        AccountInDispatch,
    ),
    Route(
        method="POST",
        path="/v1/dispatches/{dispatch_id}/exports",
        operation="post_export",
        guard=Scope.DELIVERIES_READ,
        handler=exports.post_export,
        query=NoQuery,
        body=exports.ExportIn,
        replies={202: exports.Export},
    ),
    get(
        "/v1/exports/{export_id}",
        "get_export",
        Scope.DELIVERIES_READ,
        exports.get_export,
        NoQuery,
        exports.Export,
    ),
    page(
        "/v1/exports/{export_id}/file",
        "get_export_file",
        exports.get_export_file,
        NoQuery,
        Scope.DELIVERIES_READ,
        exports.FILE_TYPES,
    ),
    get(
        "/v1/accounts/{external_id}/deliveries",
        "list_account_deliveries",
        Scope.DELIVERIES_READ,
        reports.list_account_deliveries,
        reports.AccountDeliveriesQuery,
        AccountDeliveries,
    ),
    act(
        "/v1/dispatches/{dispatch_id}/cancel",
        "cancel_dispatch",
        Scope.UPDATES_WRITE,
        dispatches.cancel,
        {200: DispatchControlled},
    ),
    act(
        "/v1/dispatches/{dispatch_id}/pause",
        "pause_dispatch",
        Scope.UPDATES_WRITE,
        dispatches.pause,
        {200: DispatchControlled},
    ),
    act(
        "/v1/dispatches/{dispatch_id}/resume",
        "resume_dispatch",
        Scope.UPDATES_WRITE,
        dispatches.resume,
        {200: DispatchControlled},
    ),
)
