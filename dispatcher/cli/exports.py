"""All deliveries of a dispatch as a file that a worker makes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import typer

from dispatcher.cli.asking import Question, ask
from dispatcher.cli.base import Exit, Failure, Json, number_of, within
from dispatcher.cli.dispatches import OrNewest
from dispatcher.cli.listing import Addresses, print_fields, print_model
from dispatcher.cli.newest import or_newest, print_nothing_yet
from dispatcher.cli.plain import counted, say
from dispatcher.context import Context
from dispatcher.stages.report import export_chunks, find_export
from dispatcher.web.exports import Export
from dispatcher.web.ids import EXPORT

app = typer.Typer(
    help="All deliveries of a dispatch as a file, made by a worker.", no_args_is_help=True
)

_EVERY_S: Final = 0.5
_PATIENCE_S: Final = 15.0
"""Without a worker nobody begins; who waits should not wait for that."""

Which = Annotated[str, typer.Argument(metavar="EXPORT", help="Its id, exp_…")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="exports")


@app.command("create")
def create(
    ctx: typer.Context,
    dispatch: OrNewest = None,
    kind: Annotated[Literal["csv", "xlsx"], typer.Option("--format", help="Of the file.")] = "csv",
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Only deliveries to this customer.")
    ] = None,
    addresses: Addresses = False,
    as_json: Json = False,
) -> None:
    """Ask a worker for the file; it is kept for a day. `tidings report --csv` needs no worker."""

    async def work(built: Context) -> Export | None:
        which = await or_newest(built, dispatch)
        if which is None:
            return None
        question = Question(
            operation="post_export",
            path={"dispatch_id": which},
            body={"format": kind, "account": account},
            addresses=addresses,
        )
        return await ask(built, Export, question)

    found = within(ctx, work)
    if found is None:
        print_nothing_yet(as_json=as_json)
    elif as_json:
        print_model(found)
    else:
        say(f"{found.id} is being made. Fetch it:  tidings exports fetch {found.id} FILE")


@app.command("show")
def show(ctx: typer.Context, export: Which, as_json: Json = False) -> None:
    """How far the file is."""
    found = within(ctx, lambda built: ask(built, Export, _question(export)))
    if as_json:
        print_model(found)
    else:
        print_fields(found.model_dump(exclude={"link"}))


@app.command("fetch")
def fetch(
    ctx: typer.Context,
    export: Which,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    as_json: Json = False,
) -> None:
    """Wait until the file is made, and write it. What stood in FILE stays until all is there."""

    async def work(built: Context) -> Export:
        found = await _made(built, export)
        await _write(built, found, file)
        return found

    found = within(ctx, work)
    if as_json:
        print_model(found)
    else:
        say(f"{counted(found.rows, 'delivery', 'deliveries')} in {file}.")


def _question(export: str) -> Question:
    return Question(operation="get_export", path={"export_id": export})


async def _made(built: Context, export: str) -> Export:
    """The export, done. Raises Failure when it failed, or when nobody makes it."""
    moved = built.clock.monotonic()
    rows = -1
    while True:
        found = await ask(built, Export, _question(export))
        if found.state == "done":
            return found
        if found.state == "failed":
            raise Failure(Exit.DIFFERS, "Several workers were lost with it; make it again.")
        if found.rows != rows:
            rows, moved = found.rows, built.clock.monotonic()
        elif built.clock.monotonic() - moved > _PATIENCE_S:
            raise Failure(
                Exit.UNREACHABLE,
                f"Nobody is making it; is a worker running?  {export} stays valid.",
            )
        await built.clock.sleep(_EVERY_S)


async def _write(built: Context, found: Export, file: Path) -> None:
    """Raises Failure."""
    number = number_of(built.signer, EXPORT, found.id, "export")
    async with built.pool.acquire() as conn:
        row = await find_export(conn, number, now=built.now())
    try:
        with _in_place_of(file) as out:
            async for piece in export_chunks(built.pool.acquire, number, row["chunks"]):
                out.write(piece)
    except LookupError:
        raise Failure(Exit.USAGE, "It has expired meanwhile; make it again.") from None
    except OSError as error:
        raise Failure(Exit.USAGE, f"{file} cannot be written: {error.strerror}.") from None


@contextmanager
def _in_place_of(file: Path) -> Iterator[BinaryIO]:
    """A file beside it, which takes its place when all is written."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)
