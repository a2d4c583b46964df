"""One look shared by all who ask a process: however many scrape, the database is asked now and then."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.db import AWAY
from dispatcher.watch.facts import Facts, look

# Of its time, the database is to be busy with looks at most; but when it is slow, people want to know.
_COST_SHARE: Final = 0.01
_LONGEST_REST: Final = 6
_POOL_WAIT_S: Final = 2.0


def between_looks(settings: Settings) -> float:
    """How often anybody needs to look, in seconds: workers say twice as seldom how they are."""
    return settings.worker.heartbeat_s / 2


def rest_after(settings: Settings, spent_s: float) -> float:
    """How long a look that took so long is to serve, in seconds."""
    least = between_looks(settings)
    return min(max(least, spent_s / _COST_SHARE), _LONGEST_REST * least)


@dataclass(slots=True)
class Lookout:
    """Keeps a look for a while, longer the longer it took; `None` while the database cannot be asked."""

    ctx: Context
    _facts: Facts | None = None
    _until: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def facts(self) -> Facts | None:
        """The last look, or a new one when that is no longer fresh."""
        async with self._turn:
            clock = self.ctx.clock
            if clock.monotonic() >= self._until:
                began = clock.monotonic()
                self._facts = await self._ask()
                spent = clock.monotonic() - began
                self._until = began + rest_after(self.ctx.settings, spent)
        return self._facts

    async def _ask(self) -> Facts | None:
        try:
            async with self.ctx.pool.acquire(timeout=_POOL_WAIT_S) as conn:
                return await look(conn, self.ctx.settings, now=self.ctx.now())
        except (*AWAY, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            return None
