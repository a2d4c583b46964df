"""The files beside a report: asked for with a form, waited for on a page, fetched; all without script."""

from typing import Final, get_args
from urllib.parse import parse_qs

import asyncpg
from aiohttp import web

from dispatcher.audit import note
from dispatcher.db import Connection, in_transaction
from dispatcher.ids import ForgedIdError
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import Format, ask_for_export, find_export
from dispatcher.web.exports import send_file
from dispatcher.web.ids import DISPATCH, EXPORT
from dispatcher.web.pages import page
from dispatcher.web.reading import read_bytes
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.report_page import words
from dispatcher.web.report_page.door import Visit, for_readers, refused
from dispatcher.web.report_page.links import report_path
from dispatcher.web.routing import POOL_WAIT_S, Call

_FORM_LIMIT: Final = 1000
_FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_READER: Final = "report reader"


@for_readers
async def post_download(call: Call[None, AnyQuery], visit: Visit) -> web.StreamResponse:
    """Have the file made, and go to where it will be."""
    ctx = call.ctx
    # The cookie is strict already; this is for browsers that would send it all the same.
    if call.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return refused()
    form = parse_qs((await read_bytes(call.request, limit=_FORM_LIMIT)).decode(errors="replace"))
    wanted = form.get("format", [""])[0]
    file = next((item for item in _FORMATS if item == wanted), _FORMATS[0])

    async def work(conn: Connection) -> int:
        now = ctx.now()
        number = await ask_for_export(
            conn,
            visit.dispatch,
            file=file,
            account=None,
            read_pii=visit.read_pii,
            actor=_READER,
            now=now,
        )
        await note(
            conn,
            at=now,
            actor=_READER,
            action="export.ask",
            thing=ctx.signer.public_id(DISPATCH, visit.dispatch),
            detail={"format": file, "account": None, "addresses": visit.read_pii},
        )
        return number

    number = await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S)
    there = (
        f"{report_path(ctx.signer, visit.dispatch)}/files/{ctx.signer.public_id(EXPORT, number)}"
    )
    return web.Response(status=303, headers={"Location": there})


@for_readers
async def get_download_page(call: Call[None, AnyQuery], visit: Visit) -> web.StreamResponse:
    """How far the file is; looks again by itself until it is ready."""
    row = await _row(call, visit)
    if row is None:
        return page("gone.html", {}, status=404)
    names = {
        "words": words,
        "brand": call.ctx.settings.brand,
        "base": report_path(call.ctx.signer, visit.dispatch),
        "file": f"{call.request.rel_url.raw_path}/{row['format']}",
        "row": row,
        "read_pii": row["read_pii"],
    }
    return page("report_download.html", names)


@for_readers
async def get_download(call: Call[None, AnyQuery], visit: Visit) -> web.StreamResponse:
    """The file."""
    row = await _row(call, visit)
    if row is None or row["state"] != "done":
        return page("gone.html", {}, status=404)
    return await send_file(call, row)


async def _row(call: Call[None, AnyQuery], visit: Visit) -> asyncpg.Record | None:
    """The export; None where it is none of this report, expired, or shows more than the reader may see."""
    try:
        number = call.ctx.signer.read_public_id(EXPORT, call.path("export_id"))
        async with call.connection() as conn:
            row = await find_export(conn, number, now=call.ctx.now())
    except (ForgedIdError, RefusedError):
        return None
    fits = row["dispatch_id"] == visit.dispatch and (visit.read_pii or not row["read_pii"])
    return row if fits else None
