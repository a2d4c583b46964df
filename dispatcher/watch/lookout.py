"""One look shared by all who ask a process: however many scrape, the database is asked now and then."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.db import AWAY
from dispatcher.watch.facts import Facts, look

COST_SHARE: Final = 0.01
"""Of its time, the database is to be busy with looks at most."""
_POOL_WAIT_S: Final = 2.0


def between_looks(settings: Settings) -> float:
    """How often anybody needs to look, in seconds: workers say twice as seldom how they are."""
    return settings.worker.heartbeat_s / 2


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
                self._until = began + max(between_looks(self.ctx.settings), spent / COST_SHARE)
        return self._facts

    async def _ask(self) -> Facts | None:
        try:
            async with self.ctx.pool.acquire(timeout=_POOL_WAIT_S) as conn:
                return await look(conn, self.ctx.settings, now=self.ctx.now())
        except (*AWAY, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            return None
