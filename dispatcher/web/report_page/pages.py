"""`/reports/{dispatch}` and the page of one account in it."""

from functools import partial
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from dispatcher.stages.report import Narrowed, accounts_page, dispatch_report
from dispatcher.web.pages import page
from dispatcher.web.report_page.data import is_account, phone_rows
from dispatcher.web.report_page.door import Visit, for_readers
from dispatcher.web.report_page.links import report_path
from dispatcher.web.report_page.live import is_live, said
from dispatcher.web.report_page.progress import read_progress
from dispatcher.web.report_page.view import report_names
from dispatcher.web.routing import Call

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FEW: Final = 8
PAGE_ROWS: Final = 50


class ReportQuery(BaseModel):
    """`q` finds customers, `after` turns the page of all, `phone=all` shows everybody to phone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    q: str = Field(default="", max_length=200)
    after: str | None = Field(default=None, max_length=500)
    phone: str = Field(default="", max_length=10)


@for_readers
async def get_report_page(call: Call[None, ReportQuery], visit: Visit) -> web.StreamResponse:
    """Who was told, who must be phoned, how fast, what failed."""
    ctx, query = call.ctx, call.query
    wanted = query.q.strip()
    base = report_path(ctx.signer, visit.dispatch)
    few = None if query.phone == "all" else FEW
    async with call.connection() as conn:
        if wanted and await is_account(conn, visit.dispatch, wanted):
            there = report_path(ctx.signer, visit.dispatch, wanted)
            return web.Response(status=303, headers={"Location": there})
        report = await dispatch_report(
            conn,
            visit.dispatch,
            signer=ctx.signer,
            policy=ctx.policy,
            now=ctx.now(),
            read_pii=visit.read_pii,
        )
        page_of = partial(accounts_page, conn, visit.dispatch, signer=ctx.signer, limit=PAGE_ROWS)
        accounts = await page_of(cursor=query.after)
        found = await page_of(to=Narrowed(search=wanted)) if wanted else None
        progress = await read_progress(conn, visit.dispatch, now=ctx.now())
        phone = await phone_rows(
            conn, report.not_reached[:few], report.ask[:few], read_pii=visit.read_pii
        )
    names = {
        **report_names(report, read_pii=visit.read_pii),
        "brand": ctx.settings.brand,
        "base": base,
        "until": visit.until,
        "live": is_live(progress, ctx.now()),
        "rows": {row.channel: row for row in progress.channels},
        "said": said(progress),
        "q": wanted,
        "found": found,
        "phone": phone[:few],
        "phone_limit": len(report.not_reached) + len(report.ask),
        "accounts": accounts,
        "page_is_later": query.after is not None,
    }
    return page("report.html", names, policy=POLICY)
