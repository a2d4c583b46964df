"""`/reports/{dispatch}` and the page of one account in it."""

from datetime import datetime, timedelta
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from dispatcher.stages.report import dispatch_report
from dispatcher.web.pages import page
from dispatcher.web.report_page.data import phone_rows
from dispatcher.web.report_page.door import Visit, for_readers
from dispatcher.web.report_page.links import report_path
from dispatcher.web.report_page.progress import Progress, read_progress
from dispatcher.web.report_page.view import report_names
from dispatcher.web.routing import POOL_WAIT_S, Call

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FEW: Final = 8
PAGE_ROWS: Final = 50
LIVE_AFTER_END: Final = timedelta(minutes=10)
"""Proofs come in for a while after the last message has left."""


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
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        report = await dispatch_report(
            conn, visit.dispatch, signer=ctx.signer, policy=ctx.policy, now=ctx.now()
        )
        progress = await read_progress(conn, visit.dispatch)
        few = None if query.phone == "all" else FEW
        phone = await phone_rows(
            conn, report.not_reached[:few], report.ask[:few], read_pii=visit.read_pii
        )
    wanted = query.q.strip().casefold()
    found = [row for row in report.accounts if wanted in f"{row.name} {row.account}".casefold()]
    start = int(query.after or 0)
    names = {
        **report_names(report, read_pii=visit.read_pii),
        "brand": ctx.settings.brand,
        "base": report_path(ctx.signer, visit.dispatch),
        "until": visit.until,
        "live": is_live(progress, ctx.now()),
        "progress": progress,
        "q": query.q,
        "found": found[:PAGE_ROWS] if wanted else [],
        "limit": PAGE_ROWS,
        "phone": phone[:few],
        "phone_limit": len(report.not_reached) + len(report.ask),
        "accounts": report.accounts[start : start + PAGE_ROWS],
        "next_page": str(start + PAGE_ROWS) if start + PAGE_ROWS < len(report.accounts) else "",
        "page_is_later": bool(start),
        "downloads": "",
    }
    return page("report.html", names, policy=POLICY)


def is_live(progress: Progress, now: datetime) -> bool:
    """Whether its numbers may still move while somebody looks."""
    ended = progress.completed_at
    return ended is None or (progress.moving and now - ended < LIVE_AFTER_END)
