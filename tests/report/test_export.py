"""Exports are made by a worker, survive it, belong to one at a time, and do not stay."""

import csv
import io

import pytest

from channels.model import ChannelKind
from dispatcher.clocks.maintenance import maintain
from dispatcher.context import Context
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.report import (
    COLUMNS,
    Format,
    ask_for_export,
    export_chunks,
    exports_due,
    find_export,
    run_export,
    stream_csv,
)
from dispatcher.stages.report.export_store import (
    KEPT_FOR,
    MAX_TRIES,
    LostError,
    Progress,
    claim,
    step,
)
from dispatcher.stages.report.files import csv_lines
from dispatcher.stages.report.walk import BLOCK, Position, Walk, next_block
from tests.flow.story import MovableClock
from tests.report.rows import Book, told
from tests.report.test_files import read_sheets

EMAIL = ChannelKind.EMAIL


@pytest.fixture
async def told_many(book: Book) -> Book:
    """Ada of Big, Eve of Other, and as many of Big as make two more blocks."""
    big, other = await book.account("Big"), await book.account("Other")
    ada, eve = await book.person("Ada", big, EMAIL), await book.person("Eve", other, EMAIL)
    await book.open()
    number = await book.slice("smb", EMAIL, told(ada, 1), told(eve, 2))
    await book.conn.execute(
        """insert into delivery (update_id, endpoint_id, account_id, slice_id, channel, purpose, state)
           select $1, e, $2, $3, 1, 1, 1 from generate_series(1000001, 1000000 + $4::int) e""",
        book.update,
        big,
        number,
        BLOCK + 5,
    )
    await book.conn.execute(
        "insert into account_update (account_id, update_id, n) values ($1, $2, 1)", big, book.update
    )
    return book


async def asked(
    ctx: Context, book: Book, file: Format = "csv", *, account: str | None = None
) -> int:
    async with ctx.pool.acquire() as conn:
        return await ask_for_export(
            conn,
            book.dispatch,
            file=file,
            account=account,
            read_pii=False,
            actor="t",
            now=ctx.now(),
        )


async def content(ctx: Context, number: int) -> bytes:
    async with ctx.pool.acquire() as conn:
        row = await find_export(conn, number, now=ctx.now())
    assert row["state"] == "done"
    made = b"".join(
        [piece async for piece in export_chunks(ctx.pool.acquire, number, row["chunks"])]
    )
    assert len(made) == row["bytes"]
    return made


async def test_a_csv_holds_the_header_and_every_delivery_once(
    ctx: Context, told_many: Book
) -> None:
    number = await asked(ctx, told_many)
    await run_export(ctx, number)
    rows = list(csv.reader(io.StringIO((await content(ctx, number)).decode(), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 1 + BLOCK + 7
    assert sum(row[COLUMNS.index("contact_name")] == "A•••" for row in rows) == 1


async def test_a_workbook_holds_the_same_rows(ctx: Context, told_many: Book) -> None:
    number = await asked(ctx, told_many, "xlsx")
    await run_export(ctx, number)
    (sheet,) = read_sheets(await content(ctx, number))
    assert tuple(sheet[0]) == COLUMNS
    assert len(sheet) == 1 + BLOCK + 7


async def test_an_export_of_one_account_holds_nobody_else(ctx: Context, told_many: Book) -> None:
    number = await asked(ctx, told_many, account="big")
    await run_export(ctx, number)
    rows = list(csv.DictReader(io.StringIO((await content(ctx, number)).decode(), newline="")))
    assert [row["contact_name"] for row in rows] == ["A•••"]


@pytest.mark.parametrize("account", ["other", "nobody"])
async def test_an_account_the_dispatch_was_not_for_is_refused(
    ctx: Context, told_many: Book, account: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        await asked(ctx, told_many, account=account)
    assert refused.value.status == 404


async def test_who_asks_for_what_is_being_made_gets_that_one(ctx: Context, told_many: Book) -> None:
    number = await asked(ctx, told_many)
    assert await asked(ctx, told_many) == number
    assert await asked(ctx, told_many, "xlsx") != number
    assert await asked(ctx, told_many, account="big") != number
    await run_export(ctx, number)
    assert await asked(ctx, told_many) != number


async def abandon(ctx: Context) -> None:
    """What a killed worker leaves behind."""
    await ctx.pool.execute(
        "update export set lease_until = clock_timestamp() - interval '1 second'"
    )


async def test_a_csv_goes_on_where_a_killed_worker_stopped(ctx: Context, told_many: Book) -> None:
    number = await asked(ctx, told_many)
    async with ctx.pool.acquire() as conn:
        assert await exports_due(conn) == [number]
        held = await claim(conn, number)
        assert held is not None
        assert await exports_due(conn) == []
        walk = Walk(told_many.update, told_many.dispatch)
        block = await next_block(conn, walk, Position())
        assert block is not None
        head = csv_lines([COLUMNS, *block.rows]).encode()
        await step(conn, held, Progress(BLOCK, len(head), 1, block.after), [head])
        await abandon(ctx)
        assert await exports_due(conn) == [number]
    await run_export(ctx, number)
    whole = [piece async for piece in stream_csv(told_many.conn, told_many.dispatch)]
    assert (await content(ctx, number)).decode() == "".join(whole)


async def test_a_workbook_is_begun_anew_after_a_killed_worker(
    ctx: Context, told_many: Book
) -> None:
    number = await asked(ctx, told_many, "xlsx")
    async with ctx.pool.acquire() as conn:
        held = await claim(conn, number)
        assert held is not None
        await step(conn, held, Progress(5, 4, 1), [b"junk"])
    await abandon(ctx)
    await run_export(ctx, number)
    (sheet,) = read_sheets(await content(ctx, number))
    assert len(sheet) == 1 + BLOCK + 7


async def test_a_worker_that_lost_its_export_writes_nothing_more(
    ctx: Context, told_many: Book
) -> None:
    number = await asked(ctx, told_many)
    async with ctx.pool.acquire() as conn:
        held = await claim(conn, number)
        assert held is not None
        await abandon(ctx)
        await run_export(ctx, number)
        before = await content(ctx, number)
        with pytest.raises(LostError):
            await step(conn, held, Progress(1, 4, 1), [b"late"])
    assert await content(ctx, number) == before


async def test_an_export_is_given_up_when_worker_after_worker_is_lost_with_it(
    ctx: Context, told_many: Book
) -> None:
    number = await asked(ctx, told_many)
    for _ in range(MAX_TRIES):
        async with ctx.pool.acquire() as conn:
            assert await claim(conn, number)
        await abandon(ctx)
    await run_export(ctx, number)
    async with ctx.pool.acquire() as conn:
        assert (await find_export(conn, number, now=ctx.now()))["state"] == "failed"
        assert await exports_due(conn) == []


async def test_an_export_is_gone_a_day_after_it_was_made(
    ctx: Context, told_many: Book, clock: MovableClock
) -> None:
    number = await asked(ctx, told_many, account="big")
    await run_export(ctx, number)
    await maintain(ctx)
    assert await content(ctx, number)
    clock.move(KEPT_FOR)
    with pytest.raises(RefusedError):
        await content(ctx, number)
    await maintain(ctx)
    assert await ctx.pool.fetchval("select count(*) from export_chunk") == 0
