"""What every stage is given: the pool, the clock, and the operator's choices. Built once, in app.py."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from channels.model import Channel, ChannelKind
from dispatcher.clock import Clock
from dispatcher.config import Settings
from dispatcher.db import Pool
from dispatcher.ids import Signer
from dispatcher.rules.policy import Policy
from dispatcher.rules.punctuality import LATE
from segments.rules import Rules


@dataclass(slots=True)
class Lease:
    """Our hold on a slice in flight, `until` a moment of `Clock.monotonic`: not after it may we send.

    It ends here before it ends in the database, so a process that was stopped knows it lost the slice.
    """

    epoch: int
    until: float


@dataclass(slots=True)
class Departures:
    """Keeps what leaves this process spaced, sender by sender, when slices were held up together."""

    _next: dict[int, float] = field(default_factory=dict)
    _turns: dict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def turn(self, clock: Clock, sender_id: int, span: float) -> None:
        """Wait until the sender may go on; the next one may `span` seconds later.

        Delays are made up for only as far as a message may be late anyway.
        """
        async with self._turns[sender_id]:
            due = self._next.get(sender_id, clock.monotonic())
            await clock.sleep(due - clock.monotonic())
            self._next[sender_id] = max(due, clock.monotonic() - LATE.total_seconds()) + span


@dataclass(slots=True, kw_only=True)
class Context:
    """`dsn` serves connections outside the pool; `leases` holds what is in flight."""

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

    def now(self) -> datetime:
        """Business time: what SQL sees as `$now`."""
        return self.clock.now()

    @property
    def address_key(self) -> bytes:
        """Key of the hashes under which addresses are suppressed."""
        return self.signer.derived_key("address")
