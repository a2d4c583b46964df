"""The watch: every process looks now and then, and together they log each stop once when it begins and ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from dispatcher.context import Context
from dispatcher.db import AWAY, Connection, in_transaction
from dispatcher.watch.checks import Check, State, standing, workers
from dispatcher.watch.facts import look
from dispatcher.watch.lookout import between_looks, rest_after

log = structlog.get_logger(__name__)

# Whoever comes first looks for all, and says until when nobody need look again.
TAKE_TURN_SQL: Final = """
insert into lookout (until) values (clock_timestamp() + make_interval(secs => $1))
on conflict (one) do update set until = excluded.until where lookout.until <= clock_timestamp()
returning one
"""
REST_SQL: Final = "update lookout set until = clock_timestamp() + make_interval(secs => $1)"
BEGAN_SQL: Final = """
insert into stop (name, since) select t.name, clock_timestamp() from unnest($1::text[]) as t(name)
on conflict do nothing returning name
"""
ENDED_SQL: Final = """
delete from stop where name <> all($1::text[])
returning name, extract(epoch from clock_timestamp() - since)::float8 as lasted_s
"""


def nothing_of_its_own() -> Sequence[Check]:
    """For a process that has nothing to say but what the database knows."""
    return ()


@dataclass(slots=True)
class Watch:
    """The watch of one process. `own`: checks that are about this process alone."""

    ctx: Context
    own: Callable[[], Sequence[Check]] = nothing_of_its_own
    _mine: dict[str, float] = field(default_factory=dict)

    async def turn(self) -> None:
        """Look, unless another process just did, and log what has begun or ended since."""
        try:
            await self._look()
        except AWAY as error:
            detail = f"cannot be reached ({type(error).__name__})"
            database = Check("database", State.UNAVAILABLE, detail)
        else:
            database = Check("database", State.OK, "answers")
        self._compare([database, *self.own()])

    async def _look(self) -> None:
        ctx = self.ctx
        async with ctx.pool.acquire() as conn:
            if not await conn.fetchval(TAKE_TURN_SQL, between_looks(ctx.settings)):
                return
            began = ctx.clock.monotonic()
            facts = await look(conn, ctx.settings, now=ctx.now())
            rest_s = rest_after(ctx.settings, ctx.clock.monotonic() - began)
            await conn.execute(REST_SQL, rest_s)
        limits = ctx.settings.watch
        found = [workers(facts.workers, limits.worker_s), *standing(facts, limits)]
        stopped = {check.name: check for check in found if check.state is not State.OK}
        began_now, ended = await in_transaction(
            ctx.pool, partial(_note, list(stopped)), rng=ctx.rng
        )
        for name in began_now:
            _say_began(stopped[name])
        for name, lasted_s in ended.items():
            _say_ended(name, lasted_s)

    def _compare(self, checks: Sequence[Check]) -> None:
        """Of this process alone: nobody else can know, so nobody else says it."""
        now = self.ctx.clock.monotonic()
        for check in checks:
            if check.state is State.OK:
                if check.name in self._mine:
                    _say_ended(check.name, now - self._mine.pop(check.name))
            elif check.name not in self._mine:
                self._mine[check.name] = now
                _say_began(check)


async def _note(stopped: list[str], conn: Connection) -> tuple[list[str], dict[str, float]]:
    began = [row["name"] for row in await conn.fetch(BEGAN_SQL, stopped)]
    ended = {row["name"]: row["lasted_s"] for row in await conn.fetch(ENDED_SQL, stopped)}
    return began, ended


def _say_began(check: Check) -> None:
    log.warning("stop_began", check=check.name, detail=check.detail, mend=check.mend)


def _say_ended(name: str, lasted_s: float) -> None:
    log.info("stop_ended", check=name, lasted_s=round(lasted_s, 1))
