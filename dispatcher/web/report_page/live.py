"""`/reports/{dispatch}/events`: how far a running dispatch is, while somebody looks.

Each event is the whole state, so whoever comes back after a break has missed nothing. All readers of a
dispatch share one look at the counters a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from aiohttp import web

from dispatcher.context import Context
from dispatcher.web import sse
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.boundary import is_database_trouble
from dispatcher.web.receipts import AnyQuery
from dispatcher.web.report_page.door import Visit, for_readers, may_still_look
from dispatcher.web.report_page.progress import Progress, read_progress
from dispatcher.web.report_page.view import headline, notice_words, state_words, tiles
from dispatcher.web.report_page.words import counted, moment, number
from dispatcher.web.routing import POOL_WAIT_S, Call

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
MAX_STREAMS: Final = 1000
MAX_STREAMS_PER_DISPATCH: Final = 200
AFTER_END: Final = timedelta(minutes=10)
"""Proofs come in for a while after the last message has left."""
_LONGEST_S: Final = 900.0
LOOK_WHO_EVERY_S: Final = 10.0
"""Who looks on may have been disabled, or their key revoked; asked before they are told anything more."""


def is_live(progress: Progress, now: datetime) -> bool:
    """Whether its numbers may still move while somebody looks."""
    ended = progress.completed_at
    return ended is None or (progress.moving and now - ended < AFTER_END)


class Watch:
    """One dispatch that somebody looks at: the newest state, and a word to all who wait for it."""

    def __init__(self) -> None:
        self.readers = 0
        self.closed = False
        self.looking: asyncio.Task[None] | None = None
        self._newest: Progress | None = None
        self._news = asyncio.Condition()

    async def tell(self, progress: Progress) -> None:
        """Wake the readers if they would see anything new."""
        if self._newest is None or progress.content != self._newest.content:
            async with self._news:
                self._newest = progress
                self._news.notify_all()

    async def close(self) -> None:
        """Let the readers go."""
        async with self._news:
            self.closed = True
            self._news.notify_all()

    async def after(self, seen: Progress | None, *, within_s: float) -> Progress | None:
        """The newest state once it is another than `seen`; None when the time is up or all is over."""
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(lambda: self.closed or self._newest is not seen)
        except TimeoutError:
            return None
        return None if self.closed else self._newest


class Live:
    """The watches of this process."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._watches: dict[int, Watch] = {}

    @asynccontextmanager
    async def reader(self, dispatch: int) -> AsyncIterator[Watch]:
        """A place among the readers of a dispatch. WebRefusedError (429) when there are too many."""
        readers = sum(watch.readers for watch in self._watches.values())
        watch = self._watches.setdefault(dispatch, Watch())
        if readers >= MAX_STREAMS or watch.readers >= MAX_STREAMS_PER_DISPATCH:
            raise WebRefusedError("too-many-streams", headers={"Retry-After": "60"})
        if watch.looking is None:
            watch.looking = asyncio.create_task(self._look(dispatch, watch))
        watch.readers += 1
        try:
            yield watch
        finally:
            watch.readers -= 1
            if not watch.readers:
                watch.looking.cancel()
                del self._watches[dispatch]

    async def _look(self, dispatch: int, watch: Watch) -> None:
        while True:
            try:
                async with self._ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
                    now = self._ctx.now()
                    await watch.tell(await read_progress(conn, dispatch, now=now))
            except Exception as error:
                if not is_database_trouble(error):
                    await watch.close()
                    raise
                log.warning("report.live_blind", error=type(error).__name__)
            await self._ctx.clock.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        """End every stream, so that the process can stop."""
        for watch in list(self._watches.values()):
            await watch.close()


LIVE: Final = web.AppKey("report_live", Live)


async def end_watches(app: web.Application) -> None:
    """Open streams would keep the process from stopping."""
    await app[LIVE].close()


@for_readers
async def get_events(call: Call[None, AnyQuery], visit: Visit) -> web.StreamResponse:
    """`progress` whenever something has moved, `end` when nothing more is to be expected."""
    ctx = call.ctx
    until = ctx.clock.monotonic() + _LONGEST_S
    if visit.until is not None:
        until = min(until, ctx.clock.monotonic() + (visit.until - ctx.now()).total_seconds())
    async with call.request.app[LIVE].reader(visit.dispatch) as watch:
        response = await sse.begin(call.request)
        try:
            await sse.write(response, sse.RETRY)
            await _send(call, watch, response, until)
        except (ConnectionError, TimeoutError):
            log.debug("report.reader_gone")
    return response


async def _send(
    call: Call[None, AnyQuery], watch: Watch, response: web.StreamResponse, until: float
) -> None:
    ctx, seen = call.ctx, None
    looked = ctx.clock.monotonic()
    while (left := until - ctx.clock.monotonic()) > 0 and not watch.closed:
        progress = await watch.after(seen, within_s=min(sse.COMMENT_EVERY_S, left))
        if ctx.clock.monotonic() - looked >= LOOK_WHO_EVERY_S:
            if not await _may_still_look(call):
                return
            looked = ctx.clock.monotonic()
        if progress is None:
            await sse.write(response, sse.HEARTBEAT)
        else:
            seen = progress
            await sse.write(
                response, sse.event(progress.version, "progress", _event(ctx, progress))
            )
        if seen is not None and not is_live(seen, ctx.now()):
            await sse.write(response, sse.event(seen.version, "end", {}))
            return


async def _may_still_look(call: Call[None, AnyQuery]) -> bool:
    try:
        return await may_still_look(call)
    except Exception as error:
        if not is_database_trouble(error):
            raise
        # Nobody can be asked, and there is nothing new to tell either.
        return True


def _event(ctx: Context, progress: Progress) -> dict[str, Any]:
    """The counters, and every sentence of the page that changes with them."""
    everyone, on = progress.everyone, progress.counted_at
    people, notified = (everyone.people, everyone.notified) if everyone else (None, 0)
    parts = headline(people, notified, progress.to_phone or 0)
    notice = everyone.first_notice if everyone else None
    verdict = notice_words(notice, on=ctx.now()) if notice else None
    return {
        "channels": [row.model_dump() for row in progress.channels],
        "headline": [{"mood": part.mood, "text": part.text} for part in parts],
        "notice": {"mood": verdict.mood, "text": verdict.text} if verdict else None,
        "tiles": list(tiles(everyone)) if everyone else [],
        "counted": moment(on).text if on else "",
        "state": state_words(progress.state, paused=progress.paused),
        "said": said(progress),
        "at": moment(ctx.now(), on=ctx.now()).text,
    }


def said(progress: Progress) -> str:
    """The whole in one sentence, for whoever listens."""
    settled = sum(row.settled for row in progress.channels)
    total = sum(row.total for row in progress.channels)
    proof = sum(row.proof for row in progress.channels)
    done = f"{number(settled)} of {counted(total, 'message', 'messages')} done"
    return f"{state_words(progress.state, paused=progress.paused)}: {done}, {number(proof)} with proof."
