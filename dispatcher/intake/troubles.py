"""What a source was refused: counted, and told at most once an hour. Who is refused may flood us with it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from dispatcher.announce import EventType, SourceError, announce
from dispatcher.context import Context
from dispatcher.db import Connection, one_row
from dispatcher.intake.masks import shortened
from dispatcher.intake.model import Trouble
from dispatcher.intake.sources import Source

log = structlog.get_logger(__name__)

TOLD_EVERY: Final = timedelta(hours=1)
KEPT_FOR: Final = timedelta(days=7)
NOTED_EVERY_S: Final = 10.0
_LONGEST_DETAIL: Final = 300

# After an hour without any, it is a trouble of its own.
NOTE_SQL = """
insert into source_trouble as t (source_id, kind, since, last_at, n, untold, detail)
values ($1, $2, $3, $3, $4, $4, $5)
on conflict (source_id, kind) do update set
    since = case when t.last_at < $6 then excluded.since else t.since end,
    n = case when t.last_at < $6 then 0 else t.n end + excluded.n,
    untold = t.untold + excluded.n,
    last_at = greatest(t.last_at, excluded.last_at),
    detail = excluded.detail
returning since, told_at, untold
"""
TOLD_SQL = """
update source_trouble set told_at = $3, untold = 0 where source_id = $1 and kind = $2
"""
FORGET_SQL = "delete from source_trouble where last_at < $1"


@dataclass(slots=True)
class Brake:
    """Lets a process note the same trouble once in a while, and counts what it holds back.

    What is held back when a process ends is not counted. Only sources that exist get in, so this does
    not grow with what strangers send.
    """

    _held: dict[tuple[int, Trouble], int] = field(default_factory=dict)
    _next: dict[tuple[int, Trouble], float] = field(default_factory=dict)

    def pass_on(self, source_id: int, kind: Trouble, monotonic: float) -> int:
        """How many to note now, this one included; 0 where it is too early."""
        key = source_id, kind
        if monotonic < self._next.get(key, monotonic):
            self._held[key] = self._held.get(key, 0) + 1
            return 0
        self._next[key] = monotonic + NOTED_EVERY_S
        return self._held.pop(key, 0) + 1


@dataclass(frozen=True, slots=True)
class Rejection:
    """`n` requests that were not taken for one reason; `detail` says why the last of them was not."""

    kind: Trouble
    detail: str
    n: int = 1


async def note_rejection(
    conn: Connection, ctx: Context, source: Source, rejection: Rejection, *, now: datetime
) -> None:
    """Count it, in the caller's transaction, and tell of it where nobody was told within the hour."""
    detail = shortened(rejection.detail, _LONGEST_DETAIL)
    kind = rejection.kind
    row = await one_row(conn, NOTE_SQL, source.id, kind, now, rejection.n, detail, now - TOLD_EVERY)
    if row["told_at"] is not None and row["told_at"] > now - TOLD_EVERY:
        return
    await conn.execute(TOLD_SQL, source.id, kind, now)
    told = SourceError(
        source_id=source.id,
        name=source.name,
        kind=source.kind,
        error=kind,
        detail=detail,
        count=row["untold"],
        since=row["since"],
    )
    await announce(conn, EventType.SOURCE_ERROR, told, now=now)
    public = ctx.signer.public_id("src", source.id)
    log.warning("source.error", source=public, error=kind, count=row["untold"], detail=detail)


async def forget_troubles(conn: Connection, *, now: datetime) -> None:
    """Those that have been over for a week."""
    await conn.execute(FORGET_SQL, now - KEPT_FOR)
