"""Calling back: what is due when, and the bounded pool of connections it leaves through."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Generic, Self, TypeAlias, TypeVar

import aiohttp

T = TypeVar("T")
Post: TypeAlias = Callable[[], Awaitable[None]]

_TICK = 0.05
"""Seconds; what falls due within one tick is handed over together."""


class Timeline(Generic[T]):
    """Things to do later.

    `handle` gets what is due, in order, and may take its time: while it does, everything else
    stays here in its small form.
    """

    def __init__(self, handle: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._handle = handle
        self._buckets: dict[int, list[T]] = {}
        self._order: list[int] = []
        self._news = asyncio.Event()
        self._in_hand = 0

    @property
    def waiting(self) -> int:
        """How many things are not yet done."""
        return self._in_hand + sum(map(len, self._buckets.values()))

    def add(self, delay: float, item: T) -> None:
        """Hand `item` over `delay` seconds from now."""
        tick = int((asyncio.get_running_loop().time() + delay) / _TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = [item]
            heapq.heappush(self._order, tick)
            self._news.set()
        else:
            bucket.append(item)

    def clear(self) -> None:
        self._buckets.clear()
        self._order.clear()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wait(loop.time())
            due = self._take(int(loop.time() / _TICK))
            if due:
                self._in_hand = len(due)
                await self._handle(due)
                self._in_hand = 0

    async def _wait(self, now: float) -> None:
        """Until the next tick that has something, or until something new comes in."""
        self._news.clear()
        pause = self._order[0] * _TICK - now if self._order else None
        if pause is not None and pause <= 0:
            return
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
        except TimeoutError:
            return

    def _take(self, tick: int) -> list[T]:
        due: list[T] = []
        while self._order and self._order[0] <= tick:
            due.extend(self._buckets.pop(heapq.heappop(self._order)))
        return due


class Pool:
    """Runs posts, at most `size` at a time; `put` waits while all are busy."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[Post] = asyncio.Queue(size)
        self._size = size
        self.busy = 0

    async def put(self, post: Post) -> None:
        self.busy += 1
        await self._queue.put(post)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._size):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            post = await self._queue.get()
            try:
                await post()
            finally:
                self.busy -= 1


class Failure(StrEnum):
    """Why a post got no answer; the words are those of Twilio's callback settings."""

    CONNECT = "ct"
    ANSWER = "rt"


class Caller:
    """Posts to the product; open while the sandbox runs."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Pools bound the connections. Cookies would tie callbacks together, as no provider does.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(
        self,
        url: str,
        data: bytes | Mapping[str, str],
        headers: Mapping[str, str],
        wait: aiohttp.ClientTimeout,
    ) -> int | Failure:
        """The HTTP status of the answer, redirects not followed."""
        if self._session is None:
            return Failure.CONNECT
        try:
            async with self._session.post(
                url, data=data, headers=headers, timeout=wait, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL):
            return Failure.CONNECT
        except (aiohttp.ClientError, TimeoutError):
            return Failure.ANSWER
