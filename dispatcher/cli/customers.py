"""Imports: components, accounts and contacts from CSV or JSON Lines."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from dispatcher.cli.base import Exit, Failure, Json, print_json, within
from dispatcher.cli.plain import counted, say
from dispatcher.context import Context
from segments.importing import ImportJob, ImportKind, ImportOutcome, run_import
from segments.importing import Progress as Done

app = typer.Typer(
    help="Import customers from .csv or .jsonl: all of a file, or with --continue its good rows.",
    no_args_is_help=True,
)


def register(parent: typer.Typer) -> None:
    """Add the group `import`."""
    parent.add_typer(app, name="import")


PROBLEMS_SHOWN = 20

File = Annotated[Path, typer.Argument(metavar="FILE", help=".csv or .jsonl", dir_okay=False)]
KeepGoing = Annotated[
    bool, typer.Option("--continue", help="Import the good rows, leave out the bad.")
]
Rejects = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where bad rows are written, with their reasons."),
]


@app.command("components")
def components(
    ctx: typer.Context,
    file: File,
    keep_going: KeepGoing = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """Parts of the product. Import these first: accounts name them."""
    _import(ctx, ImportKind.COMPONENTS, file, keep_going, rejects, as_json)


@app.command("accounts")
def accounts(
    ctx: typer.Context,
    file: File,
    keep_going: KeepGoing = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """Customers, what decides their segment, and the components they use."""
    _import(ctx, ImportKind.ACCOUNTS, file, keep_going, rejects, as_json)


@app.command("contacts")
def contacts(
    ctx: typer.Context,
    file: File,
    keep_going: KeepGoing = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """People at accounts, their addresses and consent."""
    _import(ctx, ImportKind.CONTACTS, file, keep_going, rejects, as_json)


def _import(
    ctx: typer.Context,
    kind: ImportKind,
    file: Path,
    keep_going: bool,
    rejects: Path | None,
    as_json: bool,
) -> None:
    async def work(built: Context) -> ImportOutcome:
        return await import_file(built, kind, file, keep_going=keep_going, rejects=rejects)

    outcome = within(ctx, work)
    if as_json:
        print_json(asdict(outcome))
    else:
        for line in _words(kind, outcome):
            say(line)
    if outcome.n_problems:
        raise Failure(
            Exit.USAGE, *_complaints(file, outcome, keep_going=keep_going, rejects=rejects)
        )


async def import_file(
    built: Context,
    kind: ImportKind,
    file: Path,
    *,
    keep_going: bool = False,
    rejects: Path | None = None,
) -> ImportOutcome:
    """Import one file with a progress bar on standard error. Raises FileError."""
    job = ImportJob(
        kind=kind,
        path=file,
        rules=built.segment_rules,
        hash_key=built.address_key,
        now=built.now(),
        keep_going=keep_going,
        reject_path=rejects,
    )
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    out = Console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bars:
        bar = bars.add_task(f"{kind.value}", total=None)

        def show(done: Done) -> None:
            bars.update(bar, completed=done.done, total=done.size)

        async with built.pool.acquire() as conn:
            return await run_import(conn, job, show)


def _words(kind: ImportKind, outcome: ImportOutcome) -> list[str]:
    counts = outcome.counts
    read = f"{counted(outcome.records, kind.value.removesuffix('s'))} read"
    if not outcome.written:
        return [f"{read}, nothing imported."]
    numbers = f"{counts.created} new, {counts.updated} changed, {counts.unchanged} unchanged"
    return [f"{read}: {numbers}, {outcome.n_problems} left out."]


def _complaints(
    file: Path, outcome: ImportOutcome, *, keep_going: bool, rejects: Path | None
) -> list[str]:
    lines = [f"{file}: {counted(outcome.n_problems, 'problem')}."]
    lines += [
        f"  line {item.line}: {item.field + ' ' if item.field else ''}{item.reason}"
        for item in outcome.problems[:PROBLEMS_SHOWN]
    ]
    if outcome.n_problems > PROBLEMS_SHOWN and rejects is None:
        lines.append("  … --rejects FILE writes all of them.")
    if rejects is not None:
        lines.append(f"All are in {rejects}.")
    if not keep_going:
        lines.append("Nothing was imported; correct the file, or import the rest with --continue.")
    return lines
