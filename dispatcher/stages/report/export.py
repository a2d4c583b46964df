"""The job that makes an export: walk the deliveries in blocks, write them as a file, keep it in chunks.

A CSV goes on where a killed worker stopped. A workbook is one archive, packed at its end, so another
worker begins it anew; its scratch is in temporary files of the process and nobody else needs it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from typing import IO, Final

import asyncpg
import structlog

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.failpoints import reach
from dispatcher.rules.problem import not_found
from dispatcher.stages.report.export_store import (
    MAX_TRIES,
    LostError,
    Progress,
    State,
    claim,
    end,
    restart,
    step,
)
from dispatcher.stages.report.files import CHUNK, Sheets, csv_lines, pieces
from dispatcher.stages.report.walk import (
    COLUMNS,
    EXISTS_SQL,
    Position,
    Walk,
    blocks,
    next_block,
)

log = structlog.get_logger(__name__)

_IN_MEMORY: Final = 8 * 1024 * 1024


async def run_export(ctx: Context, export_id: int) -> None:
    """Make one export, or go on with it; leaves it alone while another worker has it."""
    async with ctx.pool.acquire() as conn:
        held = await claim(conn, export_id)
    if held is None:
        return
    try:
        if held["tries"] > MAX_TRIES:
            await _end(ctx, held, "failed")
        elif held["format"] == "csv":
            await _make_csv(ctx, held)
        else:
            await _make_workbook(ctx, held)
    except LostError:
        log.info("export_lost", export_id=export_id)


async def _make_csv(ctx: Context, held: asyncpg.Record) -> None:
    after = Position(held["channel"], held["endpoint_id"], held["purpose"])
    done = Progress(held["rows"], held["bytes"], held["chunks"], after)
    if not done.chunks:
        done = await _store(ctx, held, done, csv_lines([COLUMNS]).encode())
    async for block in blocks(ctx.pool, _walk(held), done.after):
        following = done._replace(rows=done.rows + len(block.rows), after=block.after)
        done = await _store(ctx, held, following, csv_lines(block.rows).encode())
        await reach("export.after_block")
    await _end(ctx, held, "done")


async def _make_workbook(ctx: Context, held: asyncpg.Record) -> None:
    async with ctx.pool.acquire() as conn:
        done = await restart(conn, held)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as out:
        sheets = await asyncio.to_thread(Sheets, out, COLUMNS, now=ctx.now())
        async for block in blocks(ctx.pool, _walk(held), done.after):
            await asyncio.to_thread(sheets.add, block.rows)
            done = done._replace(rows=done.rows + len(block.rows), after=block.after)
            async with ctx.pool.acquire() as conn:
                await step(conn, held, done)
            await reach("export.after_block")
        await _packed(ctx, held, done, sheets)
        out.seek(0)
        while piece := await asyncio.to_thread(out.read, CHUNK):
            done = await _store(ctx, held, done, piece)
    await _end(ctx, held, "done")


async def _packed(ctx: Context, held: asyncpg.Record, done: Progress, sheets: Sheets) -> None:
    """Close the workbook; packing a million rows may take longer than the lease."""
    packing = asyncio.create_task(asyncio.to_thread(sheets.close))
    while not (await asyncio.wait([packing], timeout=10))[0]:
        async with ctx.pool.acquire() as conn:
            await step(conn, held, done)
    await packing


async def _store(ctx: Context, held: asyncpg.Record, done: Progress, content: bytes) -> Progress:
    """Append bytes to the file and note how far it is."""
    fresh = list(pieces(content))
    done = done._replace(bytes=done.bytes + len(content), chunks=done.chunks + len(fresh))
    async with ctx.pool.acquire() as conn:
        await step(conn, held, done, fresh)
    return done


def _walk(held: asyncpg.Record) -> Walk:
    return Walk(held["update_id"], held["dispatch_id"], held["account_id"], held["read_pii"])


async def _end(ctx: Context, held: asyncpg.Record, state: State) -> None:
    async with ctx.pool.acquire() as conn:
        await end(conn, held, state, now=ctx.now())


async def stream_csv(
    conn: Connection, dispatch_id: int, *, read_pii: bool = False
) -> AsyncIterator[str]:
    """The same CSV for a terminal, straight away, header first.

    Raises RefusedError (404) at the first piece when there is no such dispatch.
    """
    walk = await _walk_all(conn, dispatch_id, read_pii=read_pii)
    yield csv_lines([COLUMNS])
    after = Position()
    while block := await next_block(conn, walk, after):
        yield csv_lines(block.rows)
        after = block.after


async def write_workbook(
    conn: Connection, dispatch_id: int, out: IO[bytes], *, now: datetime, read_pii: bool = False
) -> int:
    """The same workbook into `out`; returns how many rows. Raises RefusedError (404)."""
    walk = await _walk_all(conn, dispatch_id, read_pii=read_pii)
    sheets = Sheets(out, COLUMNS, now=now)
    rows, after = 0, Position()
    while block := await next_block(conn, walk, after):
        await asyncio.to_thread(sheets.add, block.rows)
        rows, after = rows + len(block.rows), block.after
    await asyncio.to_thread(sheets.close)
    return rows


async def _walk_all(conn: Connection, dispatch_id: int, *, read_pii: bool) -> Walk:
    update_id = await conn.fetchval(EXISTS_SQL, dispatch_id)
    if update_id is None:
        raise not_found("dispatch")
    return Walk(update_id, dispatch_id, read_pii=read_pii)
