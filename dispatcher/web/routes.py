"""Every address this program answers at. The API's description is made from this table."""

from typing import Any, Final

from dispatcher.stages.accept import UpdateIn
from dispatcher.stages.report import (
    AccountDeliveries,
    AccountInDispatch,
    AccountPage,
    DispatchReport,
)
from dispatcher.web import (
    customers,
    dispatches,
    exports,
    health,
    incidents,
    metrics,
    overview,
    problem_pages,
    receipts,
    reports,
    suppressions,
    unsubscribe,
    updates,
)
from dispatcher.web.banner import api as banner_api
from dispatcher.web.banner import cors, demo
from dispatcher.web.banner.stream import get_stream
from dispatcher.web.customer_models import Account, Component, Contact, Stored
from dispatcher.web.dispatches import DeliveryPage, DeliveryQuery
from dispatcher.web.incident_page import get_incident_page
from dispatcher.web.incidents import IncidentPage, IncidentQuery, UpdatePage
from dispatcher.web.intake.routes import INTAKE_ROUTES
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
from dispatcher.web.pages import get_static
from dispatcher.web.reading import NoQuery
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.report_page.routes import REPORT_ROUTES
from dispatcher.web.routing import Route
from dispatcher.web.rows import act, get, page, put
from dispatcher.web.scopes import Guard, Scope
from segments.records import AccountIn, ComponentIn, ContactIn

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
    get(
        "/v1/updates/{update_id}",
        "get_update",
        Scope.INCIDENTS_READ,
        incidents.get_update,
        NoQuery,
        UpdateWithRenderings,
    ),
    act(
        "/v1/updates/{update_id}/release",
        "release_update",
        Scope.APPROVALS_WRITE,
        updates.release_update,
        {202: UpdateAccepted},
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
        dispatches.list_deliveries,
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
    ),
    get(
        "/v1/accounts/{external_id}/deliveries",
        "list_account_deliveries",
        Scope.DELIVERIES_READ,
        reports.list_account_deliveries,
        PageQuery,
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
    get(
        "/v1/channels",
        "list_channels",
        Scope.DELIVERIES_READ,
        overview.list_channels,
        NoQuery,
        ChannelList,
    ),
    get(
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

_CUSTOMERS: Final[tuple[Route[Any, Any], ...]] = (
    put("account", "accounts", AccountIn, customers.put_account),
    get(
        "/v1/accounts/{external_id}",
        "get_account",
        Scope.SEGMENTS_WRITE,
        customers.get_account,
        NoQuery,
        Account,
    ),
    put("contact", "contacts", ContactIn, customers.put_contact),
    get(
        "/v1/contacts/{external_id}",
        "get_contact",
        Scope.SEGMENTS_WRITE,
        customers.get_contact,
        NoQuery,
        Contact,
    ),
    Route(
        method="DELETE",
        path="/v1/contacts/{external_id}",
        operation="erase_contact",
        guard=Scope.SEGMENTS_WRITE,
        handler=customers.delete_contact,
        query=NoQuery,
        replies={200: Stored},
    ),
    put("component", "components", ComponentIn, customers.put_component),
    get(
        "/v1/components/{external_id}",
        "get_component",
        Scope.SEGMENTS_WRITE,
        customers.get_component,
        NoQuery,
        Component,
    ),
    get(
        "/v1/suppressions",
        "list_suppressions",
        Scope.SEGMENTS_WRITE,
        suppressions.list_all,
        PageQuery,
        suppressions.SuppressionPage,
    ),
    Route(
        method="POST",
        path="/v1/suppressions",
        operation="add_suppression",
        guard=Scope.SEGMENTS_WRITE,
        handler=suppressions.add,
        query=NoQuery,
        body=suppressions.SuppressionIn,
        replies={201: Stored, 200: Stored},
    ),
    Route(
        method="DELETE",
        path="/v1/suppressions",
        operation="remove_suppression",
        guard=Scope.SEGMENTS_WRITE,
        handler=suppressions.remove,
        query=NoQuery,
        body=suppressions.SuppressionIn,
        replies={200: Stored},
    ),
)

_BANNER: Final[tuple[Route[Any, Any], ...]] = (
    get(
        "/v1/banner",
        "get_banner",
        Guard.BANNER_TOKEN,
        banner_api.get_banner,
        NoQuery,
        banner_api.BannerItems,
    ),
    page("/v1/banner/stream", "stream_banner", get_stream, NoQuery, Guard.BANNER_TOKEN),
    Route(
        method="POST",
        path="/v1/banner/receipts",
        operation="post_banner_receipt",
        guard=Guard.BANNER_TOKEN,
        handler=banner_api.post_receipt,
        query=NoQuery,
        body=banner_api.BannerReceiptIn,
        replies={202: banner_api.Ignored},
    ),
    *(
        Route(
            method="OPTIONS",
            path=path,
            operation=f"preflight_{name}",
            guard=Guard.OPEN,
            handler=cors.preflight,
            query=NoQuery,
        )
        for path, name in (
            ("/v1/banner", "banner"),
            ("/v1/banner/stream", "stream"),
            ("/v1/banner/receipts", "receipts"),
        )
    ),
)

_PAGES: Final[tuple[Route[Any, Any], ...]] = (
    page("/i/{incident_id}", "incident_page", get_incident_page, AnyQuery),
    page("/u/{token}", "unsubscribe_page", unsubscribe.get_unsubscribe, AnyQuery),
    Route(
        method="POST",
        path="/u/{token}",
        operation="unsubscribe",
        guard=Guard.OPEN,
        handler=unsubscribe.post_unsubscribe,
        query=AnyQuery,
    ),
    page("/problems", "problems_page", problem_pages.list_problems, AnyQuery),
    page("/problems/{kind}", "problem_page", problem_pages.get_problem, AnyQuery),
    page("/static/{name}", "static_file", get_static, AnyQuery),
    page("/demo/banner", "demo_banner", demo.get_demo_page, demo.DemoQuery),
    get(
        "/demo/banner/token",
        "demo_banner_token",
        Guard.OPEN,
        demo.get_demo_token,
        demo.DemoQuery,
        demo.DemoToken,
    ),
)

_OPERATION: Final[tuple[Route[Any, Any], ...]] = (
    get("/healthz", "healthz", Guard.OPEN, health.healthz, NoQuery, health.Health),
    get("/readyz", "readyz", Guard.OPEN, health.readyz, NoQuery, health.Health),
    page("/metrics", "metrics", metrics.get_metrics, AnyQuery),
)

ROUTES: Final = (*_API, *_CUSTOMERS, *INTAKE_ROUTES, *_BANNER, *_PAGES, *REPORT_ROUTES, *_OPERATION)
