"""The banner inside customers' applications."""

from typing import Any, Final

from dispatcher.web.banner import api as banner_api
from dispatcher.web.banner import cors
from dispatcher.web.banner.script import get_script
from dispatcher.web.banner.stream import get_stream
from dispatcher.web.reading import NoQuery
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.routing import STREAM, Route
from dispatcher.web.rows import get, page
from dispatcher.web.scopes import Guard

BANNER_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    get(
        "/v1/banner",
        "get_banner",
        Guard.BANNER_TOKEN,
        banner_api.get_banner,
        NoQuery,
        banner_api.BannerItems,
    ),
    page("/v1/banner/stream", "stream_banner", get_stream, NoQuery, Guard.BANNER_TOKEN, (STREAM,)),
    page(
        "/banner/v1.js",
        "banner_script",
        get_script,
        AnyQuery,
        media=("text/javascript",),
    ),
    Route(
        method="POST",
        path="/v1/banner/receipts",
        operation="post_banner_receipt",
        guard=Guard.BANNER_TOKEN,
        handler=banner_api.post_receipt,
        query=NoQuery,
        body=banner_api.BannerReceiptIn,
        replies={202: banner_api.Ignored},
        media={204: ()},
    ),
    *(
        Route(
            method="OPTIONS",
            path=path,
            operation=f"preflight_{name}",
            guard=Guard.OPEN,
            handler=cors.preflight,
            query=NoQuery,
            media={204: ()},
        )
        for path, name in (
            ("/v1/banner", "banner"),
            ("/v1/banner/stream", "stream"),
            ("/v1/banner/receipts", "receipts"),
        )
    ),
)
