"""Reports: one dispatch as JSON or CSV, and what one account was told."""

from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import account_deliveries, dispatch_report, export_csv
from dispatcher.web.answers import Reply
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.ids import DISPATCH, number_of
from dispatcher.web.lists import PageQuery, bad_cursor, next_link
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain
from dispatcher.web.scopes import Scope

log = structlog.get_logger(__name__)


async def get_report(call: Plain) -> Reply:
    """Totals, people, funnels, failures by reason, the curve, and who could not be reached."""
    ctx = call.ctx
    number = number_of(ctx, DISPATCH, call.path("dispatch_id"))
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        report = await dispatch_report(
            conn, number, signer=ctx.signer, policy=ctx.policy, now=ctx.now()
        )
    return Reply(report)


async def get_report_csv(call: Plain) -> web.StreamResponse:
    """One line per delivery, streamed; addresses are masked without recipients:read_pii."""
    name = call.path("dispatch_id")
    number = number_of(call.ctx, DISPATCH, name)
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)
    async with call.ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        pieces = export_csv(conn, number, read_pii=read_pii)
        first = await anext(pieces)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": f'attachment; filename="{name}.csv"',
            }
        )
        await response.prepare(call.request)
        await response.write(first.encode())
        await _write_rest(call.request, response, pieces)
    return response


async def _write_rest(
    request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[str]
) -> None:
    try:
        async for piece in pieces:
            await response.write(piece.encode())
    except Exception as error:
        if not is_database_trouble(error):
            raise
        # The status is out already: a body cut off is how the client learns that it is incomplete.
        log.warning("http.export_cut_off", error=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()


async def list_account_deliveries(call: Call[None, PageQuery]) -> Reply:
    """What this account was told, and when, update by update, newest first."""
    ctx, query = call.ctx, call.query
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        try:
            page = await account_deliveries(
                conn,
                call.path("external_id"),
                signer=ctx.signer,
                limit=query.limit,
                cursor=query.cursor,
                read_pii=call.caller.may(Scope.RECIPIENTS_READ_PII),
            )
        except RefusedError as refused:
            if refused.kind == "invalid-request":
                raise bad_cursor() from None
            raise
    return Reply(page, headers=next_link(call, page.next_cursor))
