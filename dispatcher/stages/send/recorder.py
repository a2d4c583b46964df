"""Keep what providers answered until the database has it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import structlog

from channels.model import SendResult
from dispatcher.context import Context, Gathering
from dispatcher.db import AWAY, Connection, in_transaction
from dispatcher.failpoints import reach
from dispatcher.jobs import Event, publish
from dispatcher.stages.send.answers import Answers, End, Page
from dispatcher.stages.send.claim import Claim
from dispatcher.stages.send.pages import write, write_whole
from dispatcher.stages.send.promise import Promise, note_sent

T = TypeVar("T")
log = structlog.get_logger(__name__)

# Answers of texts are written this often: what is not yet written is what a crash leaves in doubt.
RECORD_EVERY_S = 0.1
# Results of calls already made are kept this long while the database is away.
KEEP_RESULTS_S = 60.0


async def record_request(ctx: Context, page: Page, promise: Promise, *, whole: bool) -> None:
    """Write the answer to one request for a slice; `whole`: it took everybody."""

    async def put(conn: Connection) -> None:
        if whole:
            await write_whole(conn, ctx, page, now=ctx.now())
        else:
            await write(conn, ctx, [page], now=ctx.now())
        await publish(conn, _wake_ups([page]))
        await reach("record.before_commit")

    await _patiently(ctx, put)
    await reach("record.after_commit")
    note_sent(promise, page.held.slice, len(page.answers.accepted), ctx.now())


@dataclass(slots=True, eq=False)
class Sheet:
    """Answers of one slice that are not yet written; `ended` once no more will come.

    `failure` is what kept answers from being written: the slice must be left to its lease.
    """

    held: Claim
    promise: Promise
    results: list[tuple[int, SendResult]] = field(default_factory=list)
    detail: str = ""
    ended: bool = False
    failure: Exception | None = None

    def page(self) -> Page | None:
        """Take off what is there to be written now, if anything is."""
        ends = self.ended and self.failure is None
        if not self.results and not ends:
            return None
        answers, self.results = Answers.sort(self.results), []
        if answers.unclear:
            self.detail = next(iter(answers.unclear.values()))
        return Page(self.held, answers, End(self.detail) if ends else None)


@dataclass(slots=True)
class Recorder:
    """Writes answers to messages that leave one by one, of all slices of this process together."""

    _ctx: Context
    _days: set[date] = field(default_factory=set)

    @staticmethod
    def of(ctx: Context) -> "Gathering[Sheet]":
        """Where the sheets of this process are handed in."""
        if (found := ctx.gatherings.get(Recorder)) is None:
            found = ctx.gatherings[Recorder] = Gathering(Recorder(ctx).write, RECORD_EVERY_S)
        return found

    async def write(self, sheets: Sequence[Sheet]) -> None:
        """Write all in one transaction; what makes it fail takes its own slice down, no other one."""
        pages = {sheet: page for sheet in sheets if (page := sheet.page()) is not None}
        if not pages:
            return
        try:
            await self._write(pages)
        except AWAY as error:
            for sheet in sheets:
                sheet.failure = error
        except Exception:  # noqa: BLE001 - each is raised where its slice is sent
            for sheet, page in pages.items():
                try:
                    await self._write({sheet: page})
                except Exception as error:  # noqa: BLE001 - as above
                    sheet.failure = error

    async def _write(self, pages: Mapping[Sheet, Page]) -> None:
        every = list(pages.values())

        async def put(conn: Connection) -> date | None:
            now = self._ctx.now()
            ensured = now.date() in self._days
            ensured = await write(conn, self._ctx, every, now=now, ensured=ensured)
            await publish(conn, _wake_ups(every))
            await reach("record.before_commit")
            return now.date() if ensured else None

        # Remembered after the commit: what is undone leaves no partition behind.
        if (day := await _patiently(self._ctx, put)) is not None:
            self._days = {day}
        await reach("record.after_commit")
        for sheet, page in pages.items():
            note_sent(sheet.promise, page.held.slice, len(page.answers.accepted), self._ctx.now())


def _wake_ups(pages: Sequence[Page]) -> list[Event]:
    """Senders that have room again, as urgent as the most urgent slice that ended."""
    lanes: dict[int, int] = {}
    for page in pages:
        if page.end is not None:
            row = page.held.slice
            lanes[row["sender_id"]] = min(row["lane"], lanes.get(row["sender_id"], row["lane"]))
    return [Event("slices.waiting", sender, 10 - lane) for sender, lane in lanes.items()]


async def _patiently(ctx: Context, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Repeat `work` while the database is away; after a minute the lease ends and reconcile judges."""
    deadline = ctx.clock.monotonic() + KEEP_RESULTS_S
    pause = 0.2
    while True:
        try:
            return await in_transaction(ctx.pool, work, rng=ctx.rng)
        except AWAY:
            if ctx.clock.monotonic() > deadline:
                log.exception("results_lost")
                raise
            await ctx.clock.sleep(pause * ctx.rng.uniform(0.5, 1.5))
            pause = min(pause * 2, 5.0)
