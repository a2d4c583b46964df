"""One look serves everybody for a moment: on a bad day all dashboards ask at once."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from dispatcher.context import Context
from dispatcher.web.public.read import Look, look
from dispatcher.web.routing import POOL_WAIT_S

KEPT_S: Final = 3.0


@dataclass(slots=True)
class Glance:
    """The last look of this process, at most `KEPT_S` old; who asks meanwhile waits for the same."""

    ctx: Context
    _look: Look | None = None
    _until: float = 0.0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> Look:
        """Everything public. Raises what the database raises: an old look is never shown as new."""
        async with self._looking:
            now = self.ctx.clock.monotonic()
            if self._look is None or now >= self._until:
                async with self.ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
                    self._look = await look(conn, self.ctx)
                self._until = self.ctx.clock.monotonic() + KEPT_S
            return self._look


GLANCE: Final = web.AppKey("glance", Glance)
