"""What became of it: report, verify."""

import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import orjson
import typer

from dispatcher.cli.base import Exit, Failure, Json, console, number_of, print_json, within
from dispatcher.cli.draw import NOTHING_YET, draw_report
from dispatcher.cli.newest import print_nothing_yet
from dispatcher.cli.plain import counted, say
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.stages.report import (
    DIFFERENCES,
    Differences,
    DispatchReport,
    dispatch_report,
    latest_dispatch,
    stream_csv,
    verify_ledger,
    write_workbook,
)
from dispatcher.web.ids import DISPATCH
from dispatcher.web.report_page.links import DEFAULT_HOURS, MAX_HOURS, Link, make_link

LEDGER_PAGE: Final = 100_000
_LEDGER_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, connect=5)

_SAYS: Final = {
    "without_acceptance": "accepted by our record, but by no provider",
    "without_delivery": "accepted by a provider, but unknown to us",
    "not_recorded": "accepted by a provider, but not by our record",
    "more_than_once": "accepted more than once without being flagged",
    "still_open": "still open: not sent, not given up",
    "miscounted": "slices whose counters a recount does not confirm",
    "miscounted_accounts": "accounts whose counts of an update a recount does not confirm",
}

ReadPii = Annotated[bool, typer.Option("--addresses", help="Show names and addresses in full.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("report")(report)
    app.command("verify")(verify)


def report(
    ctx: typer.Context,
    dispatch: Annotated[
        str | None,
        typer.Argument(metavar="[DISPATCH]", help="Its id, dsp_…; without one, the newest."),
    ] = None,
    *,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every delivery as CSV.")] = False,
    xlsx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Every delivery as a workbook.")
    ] = None,
    addresses: ReadPii = False,
    link: Annotated[
        bool, typer.Option("--link", help="Print a link that opens the report in a browser.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--account", metavar="ACCOUNT", help="With --link: this customer's page only."
        ),
    ] = None,
    hours: Annotated[
        int, typer.Option(help="With --link: how long it works.", min=1, max=MAX_HOURS)
    ] = DEFAULT_HOURS,
) -> None:
    """Who was told, how fast, what failed and whom to call."""
    if link or only is not None:
        _check_link(link, only)
        made = within(ctx, lambda b: _link(b, dispatch, only, hours=hours, read_pii=addresses))
        _print_link(made, as_json)
        return
    if as_csv:
        within(ctx, lambda built: _print_csv(built, dispatch, read_pii=addresses))
        return
    if xlsx is not None:
        within(ctx, lambda built: _write_workbook(built, dispatch, xlsx, read_pii=addresses))
        return
    found = within(ctx, lambda built: _report(built, dispatch, read_pii=addresses))
    if found is None:
        print_nothing_yet(as_json=as_json)
    elif as_json:
        print_json(found.to_json())
    else:
        draw_report(console(), found)


async def _number(built: Context, conn: Connection, dispatch: str | None) -> int | None:
    if dispatch is None:
        return await latest_dispatch(conn)
    return number_of(built.signer, DISPATCH, dispatch, "dispatch")


def _check_link(link: bool, only: str | None) -> None:
    if only is not None and not link:
        raise Failure(
            Exit.USAGE, "--account goes with --link; see also: tidings accounts deliveries ACCOUNT"
        )


def _print_link(made: Link, as_json: bool) -> None:
    if as_json:
        print_json({"url": made.url, "expires_at": made.expires_at})
    else:
        say(f"{made.url}\nIt works until {made.expires_at:%Y-%m-%d %H:%M} UTC.")


async def _link(
    built: Context, dispatch: str | None, account: str | None, *, hours: int, read_pii: bool
) -> Link:
    async with built.pool.acquire() as conn, conn.transaction():
        number = await _number(built, conn, dispatch)
        if number is None:
            raise Failure(Exit.USAGE, *NOTHING_YET)
        return await make_link(conn, built, number, account=account, hours=hours, read_pii=read_pii)


async def _report(built: Context, dispatch: str | None, *, read_pii: bool) -> DispatchReport | None:
    async with built.pool.acquire() as conn:
        number = await _number(built, conn, dispatch)
        if number is None:
            return None
        return await dispatch_report(
            conn,
            number,
            signer=built.signer,
            policy=built.policy,
            now=built.now(),
            read_pii=read_pii,
        )


async def _print_csv(built: Context, dispatch: str | None, *, read_pii: bool) -> None:
    async with built.pool.acquire() as conn:
        number = await _number(built, conn, dispatch)
        if number is not None:
            async for piece in stream_csv(conn, number, read_pii=read_pii):
                sys.stdout.write(piece)


async def _write_workbook(
    built: Context, dispatch: str | None, path: Path, *, read_pii: bool
) -> None:
    async with built.pool.acquire() as conn:
        number = await _number(built, conn, dispatch)
        if number is None:
            raise Failure(Exit.USAGE, NOTHING_YET[0])
        try:
            with path.open("wb") as out:
                rows = await write_workbook(conn, number, out, now=built.now(), read_pii=read_pii)
        except OSError as error:
            raise Failure(Exit.USAGE, f"{path} cannot be written: {error.strerror}") from None
    say(f"{counted(rows, 'delivery', 'deliveries')} in {path}", err=True)


def verify(
    ctx: typer.Context,
    ledger: Annotated[
        str, typer.Option(metavar="URL", help="The sandbox, such as http://127.0.0.1:8090.")
    ],
    as_json: Json = False,
) -> None:
    """Compare every delivery with what the sandbox really accepted. Exit code 1 on any difference."""

    async def work(built: Context) -> Differences:
        return await compare(built, ledger)

    found = within(ctx, work)
    if as_json:
        print_json({**asdict(found), "total": found.total})
    else:
        for line in describe(found):
            say(line)
    if found.total:
        raise Failure(Exit.DIFFERS, f"{counted(found.total, 'difference')}.")


@dataclass(frozen=True, slots=True)
class _Row:
    provider: str
    key: str


async def compare(built: Context, url: str) -> Differences:
    """Compare with the ledger of the sandbox at `url`. Raises Failure when it does not answer."""
    async with (
        aiohttp.ClientSession(timeout=_LEDGER_TIMEOUT) as session,
        built.pool.acquire() as conn,
    ):
        return await verify_ledger(conn, _ledger(session, url.rstrip("/")), signer=built.signer)


async def _ledger(session: aiohttp.ClientSession, url: str) -> AsyncIterator[_Row]:
    after, more = 0, True
    try:
        while more:
            more = False
            query = {"after": str(after), "limit": str(LEDGER_PAGE)}
            async with session.get(f"{url}/sandbox/ledger", params=query) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    row = orjson.loads(line)
                    after, more = row["seq"], True
                    yield _Row(row["provider"], row["key"])
    except (
        aiohttp.ClientError,
        TimeoutError,
        orjson.JSONDecodeError,
        KeyError,
        ValueError,
    ) as error:
        raise Failure(
            Exit.UNREACHABLE,
            f"There is no sandbox ledger at {url} ({type(error).__name__}); is `tidings sandbox` running?",
        ) from None


def describe(found: Differences) -> list[str]:
    """The comparison in words; a line per kind of difference."""
    ours = counted(found.deliveries, "delivery", "deliveries")
    lines = [f"{counted(found.acceptances, 'acceptance')} by providers, {ours} of ours compared."]
    if found.maybe_duplicates:
        lines.append(f"Resent once and flagged as maybe duplicates: {found.maybe_duplicates}.")
    if found.unconfirmed:
        lines.append(f"Unconfirmed and listed for people to ask: {found.unconfirmed}.")
    lines += [
        f"{number} {_SAYS[name]}: {', '.join(found.samples.get(name, []))}"
        for name in DIFFERENCES
        if (number := getattr(found, name))
    ]
    if not found.total:
        lines.append("No differences.")
    return lines
