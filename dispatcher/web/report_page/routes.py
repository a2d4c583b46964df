"""The addresses of the report: its links, pages, stream and files."""

from typing import Any, Final

from dispatcher.web.exports import FILE_TYPES
from dispatcher.web.reading import NoQuery
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.report_page import door, downloads
from dispatcher.web.report_page.account_page import get_account_page
from dispatcher.web.report_page.live import get_events
from dispatcher.web.report_page.pages import ReportQuery, get_report_page
from dispatcher.web.routing import STREAM, Route
from dispatcher.web.rows import page
from dispatcher.web.scopes import Guard, Scope

REPORT_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    Route(
        method="POST",
        path="/v1/dispatches/{dispatch_id}/links",
        operation="make_report_link",
        guard=Scope.DELIVERIES_READ,
        handler=door.post_link,
        query=NoQuery,
        body=door.LinkIn,
        replies={201: door.LinkView},
    ),
    page("/r/{token}", "open_report_link", door.open_link, AnyQuery),
    page(
        "/reports/{dispatch_id}",
        "report_page",
        get_report_page,
        ReportQuery,
        Guard.REPORT_READER,
    ),
    page(
        "/reports/{dispatch_id}/events",
        "report_events",
        get_events,
        AnyQuery,
        Guard.REPORT_READER,
        (STREAM,),
    ),
    Route(
        method="POST",
        path="/reports/{dispatch_id}/files",
        operation="report_file_wanted",
        guard=Guard.REPORT_READER,
        handler=downloads.post_download,
        query=AnyQuery,
    ),
    page(
        "/reports/{dispatch_id}/files/{export_id}",
        "report_file_page",
        downloads.get_download_page,
        AnyQuery,
        Guard.REPORT_READER,
    ),
    page(
        "/reports/{dispatch_id}/files/{export_id}/{format}",
        "report_file",
        downloads.get_download,
        AnyQuery,
        Guard.REPORT_READER,
        FILE_TYPES,
    ),
    page(
        "/reports/{dispatch_id}/accounts/{external_id}",
        "report_account_page",
        get_account_page,
        AnyQuery,
        Guard.REPORT_READER,
    ),
)
