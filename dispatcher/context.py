"""What every stage is given: the pool, the clock, and the operator's choices. Built once, in `app`."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final, Generic, TypeVar

from channels.model import Channel, ChannelKind
from dispatcher.clock import Clock
from dispatcher.config import Settings
from dispatcher.db import Pool
from dispatcher.ids import Signer
from dispatcher.rules.policy import Policy
from dispatcher.rules.punctuality import LATE
from segments.rules import Rules

T = TypeVar("T")
GIVE_WAY_S = 0.5


@dataclass(slots=True)
class Lease:
    """Our hold on a slice in flight, `until` a moment of `Clock.monotonic`: not after it may we send.

    It ends here before it ends in the database, so a process that was stopped knows it lost the slice.
    """

    epoch: int
    until: float


# As many as wait for answers at once at a provider that takes its time. More would not leave: they would
# wait for a connection, and keep the event loop from all else while they are begun.
MOST_UNDER_WAY = 100


@dataclass(slots=True)
class Departures:
    """Keeps what leaves this process spaced, sender by sender, when slices were held up together.

    `room` is what a message holds, by sender, from before its turn until its answer.
    """

    room: dict[int, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(MOST_UNDER_WAY))
    )
    _next: dict[int, float] = field(default_factory=dict)
    _turns: dict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def turn(self, clock: Clock, sender_id: int, span: float) -> None:
        """Wait until the sender may go on; the next one may `span` seconds later.

        Delays are made up for only as far as a message may be late anyway.
        """
        async with self._turns[sender_id]:
            now = clock.monotonic()
            due = self._next.get(sender_id, now)
            if due > now:
                await clock.sleep(due - now)
                now = clock.monotonic()
            self._next[sender_id] = max(due, now - LATE.total_seconds()) + span


@dataclass(slots=True)
class Gathering(Generic[T]):
    """Hands what many tasks have to one function, all of it together, every `every_s` seconds.

    `work` must not raise: what went wrong with an item it notes on the item.
    """

    work: Callable[[Sequence[T]], Awaitable[None]]
    every_s: float
    _waiting: dict[T, asyncio.Future[None]] = field(default_factory=dict)
    _working: asyncio.Task[None] | None = None

    def hand_in(self, item: T) -> None:
        """Have an item worked on; what waits already waits once."""
        if item not in self._waiting:
            self._waiting[item] = asyncio.get_running_loop().create_future()
        if self._working is None:
            # What the first task binds to its log lines does not belong to the others.
            self._working = asyncio.create_task(self._work(), context=contextvars.Context())

    async def worked_on(self, item: T) -> None:
        """Hand an item in and wait until it was worked on."""
        self.hand_in(item)
        await self._waiting[item]

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self.every_s)
                items, self._waiting = self._waiting, {}
                await self.work(list(items))
                for done in items.values():
                    if not done.done():
                        done.set_result(None)
        finally:
            self._working = None


@dataclass(slots=True)
class Precedence:
    """Lets what is less urgent wait a moment while this process has something urgent in hand.

    Nothing waits for long: a flood of the urgent slows the rest down and does not stop it.
    """

    _in_hand: int = 0
    _clear: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Inside, something urgent is in hand."""
        self._in_hand += 1
        self._clear.clear()
        try:
            yield
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._clear.set()

    async def give_way(self) -> None:
        """Let others have a turn, and what is urgent up to half a second."""
        if self._in_hand:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._clear.wait(), GIVE_WAY_S)
        else:
            await asyncio.sleep(0)


ASIDE: Final = 2


@dataclass(slots=True, kw_only=True)
class Context:
    """`dsn` serves connections outside the pool; `leases` holds what is in flight.

    `gatherings` are what the slices of this process do together, by who does it.
    `releasing`: senders whose slices this process is just releasing, and whether to look once more.
    `aside` is held by who uses a connection of the pool for what must not slow down the way to customers.
    """

    settings: Settings
    dsn: str = field(repr=False)
    pool: Pool
    clock: Clock
    rng: Random
    signer: Signer
    policy: Policy
    segment_rules: Rules
    channels: Mapping[ChannelKind, Channel]
    leases: dict[int, Lease] = field(default_factory=dict)
    departures: Departures = field(default_factory=Departures)
    gatherings: dict[type, Gathering[Any]] = field(default_factory=dict)
    precedence: Precedence = field(default_factory=Precedence)
    releasing: dict[int, bool] = field(default_factory=dict)
    aside: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ASIDE))

    def now(self) -> datetime:
        """Business time: what SQL sees as `$now`."""
        return self.clock.now()

    @property
    def address_key(self) -> bytes:
        """Key of the hashes under which addresses are suppressed."""
        return self.signer.derived_key("address")
