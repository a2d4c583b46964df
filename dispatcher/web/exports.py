"""Exports: all deliveries of a dispatch as a file, made by a worker and fetched when it is ready."""

from datetime import datetime
from typing import Any, Final

import asyncpg
import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.own import OWN_ACCOUNT
from dispatcher.rules.problem import not_found
from dispatcher.stages.report import (
    Format,
    State,
    ask_for_export,
    export_chunks,
    find_export,
)
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.ids import DISPATCH, EXPORT, number_of
from dispatcher.web.keys import require
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain
from dispatcher.web.scopes import Scope

log = structlog.get_logger(__name__)

OWN_IN_DISPATCH_SQL: Final = f"""
select a.id from account a
join dispatch d on d.id = $2
join account_update u on u.account_id = a.id and u.update_id = d.update_id
where a.external_id = $1 and a.id {OWN_ACCOUNT}
"""

_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

FILE_TYPES: Final = tuple(kind.partition(";")[0] for kind in _TYPES.values())


class ExportIn(BaseModel):
    """`account`: the operator's id of the one customer it shall be about; all without."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format
    account: str | None = Field(default=None, min_length=1, max_length=200)


class Export(BaseModel):
    """A file that is being made, or is there until `expires_at`.

    `rows` counts up while it is made; `bytes` is whole once `state` is done, and `link` is where the
    file is then. failed: several workers were lost with it; ask again.
    """

    id: str
    dispatch: str
    account: str | None
    format: Format
    addresses: bool = Field(description="In full; fetching it needs recipients:read_pii")
    state: State
    rows: int
    bytes: int
    created_at: datetime
    expires_at: datetime
    link: str | None


async def post_export(call: Call[ExportIn, NoQuery]) -> Reply:
    """Ask for the file; addresses are masked without recipients:read_pii. 202, and where to look."""
    ctx, body = call.ctx, call.body
    path_id = call.path("dispatch_id")
    dispatch = number_of(ctx, DISPATCH, path_id)
    await require_own(call, dispatch, body.account)
    read_pii = call.caller.may(Scope.RECIPIENTS_READ_PII)

    async def work(conn: Connection) -> asyncpg.Record:
        now = ctx.now()
        number = await ask_for_export(
            conn,
            dispatch,
            file=body.format,
            account=body.account,
            read_pii=read_pii,
            actor=call.actor,
            now=now,
        )
        await note(
            conn,
            at=now,
            actor=call.actor,
            action="export.ask",
            thing=path_id,
            detail={"format": body.format, "account": body.account, "addresses": read_pii},
        )
        return await find_export(conn, number, now=now)

    view = _view(ctx, await in_transaction(ctx.pool, work, rng=ctx.rng, wait_s=POOL_WAIT_S))
    return Reply(view, 202, {"Location": f"/v1/exports/{view.id}"})


async def require_own(call: Call[Any, Any], dispatch: int, account: str | None) -> None:
    """Raises RefusedError for who may see own accounts only: 403 without an account, 404 for another's.

    An account that the dispatch was not for is as unknown as one that is not theirs.
    """
    if not call.caller.limited:
        return
    if account is None:
        raise WebRefusedError("own-accounts-only", "Name one of your accounts as `account`")
    async with call.connection() as conn:
        if await conn.fetchval(OWN_IN_DISPATCH_SQL, account, dispatch) is None:
            raise not_found("account in this dispatch")


async def get_export(call: Plain) -> Reply:
    """How far it is."""
    return Reply(_view(call.ctx, await _row(call)))


async def get_export_file(call: Plain) -> web.StreamResponse:
    """The file; 409 until it is made, 404 once it has expired."""
    row = await _row(call)
    if row["read_pii"]:
        require(call.caller, Scope.RECIPIENTS_READ_PII)
    if row["state"] != "done":
        raise WebRefusedError("export-not-ready")
    return await send_file(call, row)


async def send_file(call: Call[None, Any], row: asyncpg.Record) -> web.StreamResponse:
    """The file of an export that is done, chunk by chunk; whether the caller may have it is decided."""
    request = call.request
    name = call.ctx.signer.public_id(DISPATCH, row["dispatch_id"])
    response = web.StreamResponse(
        headers={
            "Content-Type": _TYPES[row["format"]],
            "Content-Length": str(row["bytes"]),
            "Content-Disposition": f'attachment; filename="{name}.{row["format"]}"',
        }
    )
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        async for piece in export_chunks(call.connection, row["id"], row["chunks"]):
            await response.write(piece)
    except Exception as error:
        if not (isinstance(error, LookupError) or is_database_trouble(error)):
            raise
        # The status is out already: a body cut off is how the client learns that it is incomplete.
        log.warning("http.export_cut_off", error=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _row(call: Plain) -> asyncpg.Record:
    number = number_of(call.ctx, EXPORT, call.path("export_id"))
    async with call.connection() as conn:
        return await find_export(conn, number, now=call.ctx.now(), own=call.caller.limited)


def _view(ctx: Context, row: asyncpg.Record) -> Export:
    public = ctx.signer.public_id(EXPORT, row["id"])
    return Export(
        id=public,
        dispatch=ctx.signer.public_id(DISPATCH, row["dispatch_id"]),
        account=row["account"],
        format=row["format"],
        addresses=row["read_pii"],
        state=row["state"],
        rows=row["rows"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        link=f"/v1/exports/{public}/file" if row["state"] == "done" else None,
    )
