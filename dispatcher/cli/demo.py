"""`tidings demo`: an incident told to 2,000 sample people through the real adapters, proved at the end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import aiohttp
import orjson
import typer

from dispatcher.cli.base import (
    Exit,
    Failure,
    Json,
    console,
    execute,
    number_of,
    print_json,
    table,
    until_stopped,
    within,
)
from dispatcher.cli.customers import import_file
from dispatcher.cli.draw import draw_report
from dispatcher.cli.house import WORKERS, House, house, refuse_an_end, until_ready, while_all_live
from dispatcher.cli.plain import counted, say
from dispatcher.cli.plot import span
from dispatcher.cli.processes import Ended
from dispatcher.cli.reports import compare, describe
from dispatcher.cli.sample import Sample, make_sample
from dispatcher.cli.story import SOURCE, updates
from dispatcher.cli.watch import watch
from dispatcher.context import Context
from dispatcher.stages.report import DispatchReport, dispatch_report
from dispatcher.web.banner.token import make_banner_token
from dispatcher.web.ids import DISPATCH
from dispatcher.web.keys import create_key
from dispatcher.web.scopes import Scope
from segments.importing import ImportKind
from segments.model import Channel, SuppressionReason
from segments.suppressions import Why, add_suppression

VIEWERS: Final = 80
"""App users who look at the product while it is down."""
RECEIPTS_S: Final = 4.0
_AT_ONCE: Final = 16
PLANNING_SQL: Final = "select state = 'planning' from dispatch where id = $1"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)

CURL: Final = """\
curl -sS {url}/v1/updates \\
  -H "Authorization: Bearer {key}" \\
  -H "Idempotency-Key: INC-42-1" -H "Content-Type: application/json" \\
  -d '{{"source": "monitoring", "status": "investigating",
       "incident": {{"external_id": "INC-42", "severity": "P1", "component_ids": ["reports"]}},
       "facts": {{"title": "Reports open slowly", "impact": "Reports take up to a minute to open.",
                 "next_update_by": "2099-01-01T12:00:00Z"}}}}'"""


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("demo")(demo)
    app.command("banner-token")(banner_token)


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running until Ctrl-C, and say how to use it.")
    ] = False,
    empty: Annotated[
        bool,
        typer.Option(
            "--empty", help="No customers, no updates: to try the API on. Ctrl-C ends it."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same customers and same luck.")] = 1,
) -> None:
    """See it work: sandbox, web, two workers, 2,000 people, three updates, the report. No data stays."""
    execute(_demo(keep=keep, empty=empty, seed=seed))


async def _demo(*, keep: bool, empty: bool, seed: int) -> None:
    async with until_stopped() as stop:
        going = _open(stop) if empty else _play(stop, keep=keep, seed=seed)
        play = asyncio.create_task(going)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([play, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            play.cancel()
            with suppress(asyncio.CancelledError):
                await play
            return
        await play


async def _open(stop: asyncio.Event) -> None:
    say("Starting a database, the sandbox providers, web and a worker …")
    async with (
        house(hold_port=True, workers=1) as home,
        aiohttp.ClientSession(timeout=_TIMEOUT) as session,
        _watching(home, stop) as watched,
    ):
        await while_all_live(home, watched, until_ready(home.built, session))
        _say_it_is_kept(home)
        say("\nIn another terminal; docs/api.md goes on from here:\n")
        _say_what_to_export(home)
        refuse_an_end(home, await watched)


async def _play(stop: asyncio.Event, *, keep: bool, seed: int) -> None:
    say("Starting a database, the sandbox providers, web and two workers …")
    making = asyncio.create_task(asyncio.to_thread(make_sample, seed))
    async with (
        house(hold_port=keep) as home,
        aiohttp.ClientSession(timeout=_TIMEOUT) as session,
        _watching(home, stop) as watched,
    ):
        key, user = await while_all_live(home, watched, _act(home, session, await making, seed))
        if keep:
            _say_how_to_use(home, key, user)
            refuse_an_end(home, await watched)


@asynccontextmanager
async def _watching(
    home: House, stop: asyncio.Event
) -> AsyncIterator["asyncio.Task[Ended | None]"]:
    """A task that is done when a process has ended by itself, or with None at `stop`."""
    task = asyncio.create_task(home.children.wait(stop))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _act(
    home: House, session: aiohttp.ClientSession, sample: Sample, seed: int
) -> tuple[str, str]:
    """Fill the house, tell the story, print what came of it; returns the key and an app user."""
    built = home.built
    await _import(built, sample, home.folder)
    async with built.pool.acquire() as conn:
        made = await create_key(
            conn,
            name="demo",
            scopes=[Scope.UPDATES_WRITE, Scope.INCIDENTS_READ, Scope.DELIVERIES_READ],
            now=built.now(),
        )
    await until_ready(built, session)
    viewers = _Viewers(built, session, _some_users(sample, seed))
    told: list[int] = []
    for number, body in enumerate(updates(built.now()), 1):
        say(f"\nUpdate {number} of 3: {body['status']}, posted over HTTP")
        incident, dispatch = await _post(built, session, body, made.text, number)
        looking = asyncio.create_task(viewers.look(incident, number, dispatch))
        if not await watch(built, dispatch, receipts_s=RECEIPTS_S):
            raise Failure(Exit.DIFFERS, "The update could not be worded; see its state_detail.")
        await looking
        told.append(dispatch)
    await _print_outcome(home, told)
    return made.text, viewers.users[0][0]


async def _import(built: Context, sample: Sample, folder: Path) -> None:
    files = {
        ImportKind.COMPONENTS: sample.components,
        ImportKind.ACCOUNTS: sample.accounts,
        ImportKind.CONTACTS: sample.contacts,
    }
    for kind, rows in files.items():
        path = folder / f"{kind.value}.jsonl"
        path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
        outcome = await import_file(built, kind, path)
        if outcome.n_problems:
            problem = outcome.problems[0]
            where = f"{path.name}:{problem.line}: {problem.field} {problem.reason}"
            raise Failure(Exit.USAGE, f"The sample data cannot be imported: {where}")
        say(f"Imported {outcome.counts.created} {kind.value}")
    why = Why(reason=SuppressionReason.OPERATOR, source="sample data")
    async with built.pool.acquire() as conn:
        for address in sample.suppressed:
            await add_suppression(
                conn, Channel.EMAIL, address, why, hash_key=built.address_key, now=built.now()
            )


def _some_users(sample: Sample, seed: int) -> list[tuple[str, str]]:
    """App users and their accounts, chosen among those who use what breaks."""
    using = {
        row["external_id"]
        for row in sample.accounts
        if any(item["component"] == "checkout" for item in row.get("usage", ()))
    }
    users = [
        (row["app_user"], row["account"])
        for row in sample.contacts
        if "app_user" in row and row["account"] in using
    ]
    return Random(seed).sample(users, min(VIEWERS, len(users)))


async def _post(
    built: Context, session: aiohttp.ClientSession, body: dict[str, Any], key: str, number: int
) -> tuple[str, int]:
    """The incident's public id and the dispatch's number. Raises Failure with the API's words."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"{SOURCE}-{number}"}
    url = f"{built.settings.public_url}/v1/updates"
    async with session.post(url, json=body, headers=headers) as answer:
        found = await answer.json(content_type=None)
        if answer.status != 202:  # noqa: PLR2004 - accepted
            raise Failure(Exit.USAGE, f"The update was refused: {orjson.dumps(found).decode()}")
    return found["incident_id"], number_of(built.signer, DISPATCH, found["dispatch_id"], "dispatch")


@dataclass(frozen=True, slots=True)
class _Viewers:
    """People who have the product open: they fetch the banner and send back that they saw it."""

    built: Context
    session: aiohttp.ClientSession
    users: Sequence[tuple[str, str]]

    async def look(self, incident: str, revision: int, dispatch: int) -> None:
        """Everyone looks once the banner is up, a few at a time."""
        while await self.built.pool.fetchval(PLANNING_SQL, dispatch):
            await self.built.clock.sleep(0.25)
        limit = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for user, account in self.users:
                group.create_task(self._look(limit, user, account, incident, revision))

    async def _look(
        self, limit: asyncio.Semaphore, user: str, account: str, incident: str, revision: int
    ) -> None:
        token = make_banner_token(self.built, user, account, self.built.now())
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.built.settings.public_url}/v1/banner"
        async with limit:
            async with self.session.get(url, headers=headers) as answer:
                items = (await answer.json(content_type=None)).get("items", [])
            if any(item["id"] == incident and item["revision"] >= revision for item in items):
                receipt = {"id": incident, "revision": revision, "event": "displayed"}
                async with self.session.post(f"{url}/receipts", json=receipt, headers=headers):
                    return


async def _print_outcome(home: House, told: Sequence[int]) -> None:
    built, out = home.built, console()
    async with built.pool.acquire() as conn:
        reports = [
            await dispatch_report(
                conn,
                number,
                signer=built.signer,
                policy=built.policy,
                now=built.now(),
                read_pii=True,  # they are made up
            )
            for number in told
        ]
    say("\n── Report of the first update " + "─" * 40 + "\n")
    draw_report(out, reports[0])
    say("── All three " + "─" * 57 + "\n")
    out.print(table(_COLUMNS, [_cells(item) for item in reports], right=_COLUMNS[1:]))
    say(f"\nLedger check, sandbox against database ({WORKERS} workers):")
    found = await compare(built, home.sandbox_url)
    for line in describe(found):
        say(f"  {line}")
    if found.total:
        raise Failure(
            Exit.DIFFERS, f"{counted(found.total, 'difference')} between ledger and deliveries."
        )


_COLUMNS: Final = ("update", "messages", "people", "told", "50 %", "90 %", "all that can be")


def _cells(report: DispatchReport) -> tuple[object, ...]:
    everyone = report.everyone
    points = report.curve.series.get("any", ())
    return (
        report.update.status,
        sum(report.totals.values()),
        everyone.people,
        everyone.notified,
        span(everyone.seconds_to["50"]),
        span(everyone.seconds_to["90"]),
        span(points[-1][0] if points else None),
    )


def _say_it_is_kept(home: House) -> None:
    say("\n── It keeps running; Ctrl-C ends it and removes everything " + "─" * 11 + "\n")
    say(f"What people received   {home.sandbox_url}/sandbox/")
    say(f"The API, to try out    {home.url}/docs")


def _say_what_to_export(home: House) -> None:
    say(f"export TIDINGS_CONFIG={home.settings_file}")
    say(f"export TIDINGS_PUBLIC_URL={home.url}")


def _say_how_to_use(home: House, key: str, user: str) -> None:
    _say_it_is_kept(home)
    say(f"In-app banner          {home.url}/demo/banner?user={user}")
    say(f"API                    {home.url}/v1/incidents (with the key below)")
    say(f"Metrics                {home.url}/metrics")
    say("\nThe same commands, in another terminal:\n")
    _say_what_to_export(home)
    say("tidings report")
    say("tidings report --link           # the page for an account manager, to open in a browser")
    say("tidings accounts deliveries acct-020")
    say(f"tidings verify --ledger {home.sandbox_url}")
    say("\nPost an update yourself:\n")
    say(CURL.format(url=home.url, key=key))


def banner_token(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="The app user, as in the contact's app_user.")],
    account: Annotated[str, typer.Argument(help="Your id of the account.")],
    as_json: Json = False,
) -> None:
    """A banner token for one app user, valid for an hour: what your backend would make."""

    async def work(built: Context) -> str:
        return make_banner_token(built, user, account, built.now())

    token = within(ctx, work)
    if as_json:
        print_json({"token": token})
    else:
        say(token)
