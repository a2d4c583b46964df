"""What answers say of their sender: it is stopped before many are in doubt, and trusted again."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.backoff import backoff
from dispatcher.rules.breaker import Breaker, Heard, joined, judge, most_doubts, reminded
from dispatcher.rules.states import SliceState

log = structlog.get_logger(__name__)

# Nearly always all is well with a sender, and stays so: then its row is neither locked nor written.
SENDERS_SQL = """
select id, channel, doubts, trips, paused_until, paused_why from sender
where id = any($1::smallint[]) or id = any($2::smallint[]) and (doubts > 0 or trips > 0)
order by id for no key update
"""
SAVE_SQL = """
update sender set doubts = $2, trips = $3, paused_until = $4, paused_why = $5, updated_at = $6 where id = $1
"""
PROBATION_SQL = "select trips > 0 from sender where id = $1"
# What has its moment and was not begun waits again, also what somebody has claimed. Whoever is just about to
# begin with one of them meets the pause there.
RECALL_SQL = f"""
update slice s set state = {SliceState.WAITING:d}, start_at = null, lease_until = null, epoch = s.epoch + 1
from (select id from slice where sender_id = $1 and state = {SliceState.RELEASED:d}
      order by id for update skip locked) r
where s.id = r.id
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a sender's requests of one slice came to; `asked_at`: when their intent was committed."""

    sender_id: int
    asked_at: datetime
    heard: Heard


async def on_probation(conn: Connection, sender_id: int) -> bool:
    """Whether a sender was stopped and nobody knows yet that its provider is back."""
    return bool(await conn.fetchval(PROBATION_SQL, sender_id))


async def listen(conn: Connection, ctx: Context, said: Iterable[Said], *, now: datetime) -> None:
    """Count doubts, stop senders and let them go again, in the transaction that writes the answers."""
    by_sender: dict[int, list[Said]] = defaultdict(list)
    for one in said:
        by_sender[one.sender_id].append(one)
    troubled = [
        sender
        for sender, parts in by_sender.items()
        if any(one.heard.doubts or one.heard.stop for one in parts)
    ]
    for row in await conn.fetch(SENDERS_SQL, troubled, list(by_sender)):
        before = Breaker(
            doubts=row["doubts"],
            trips=row["trips"],
            paused_until=row["paused_until"],
            why=row["paused_why"],
        )
        after = _judge(ctx, row, before, by_sender[row["id"]], now)
        if after != before:
            await conn.execute(
                SAVE_SQL, row["id"], after.doubts, after.trips, after.paused_until, after.why, now
            )
        if after.trips > before.trips:
            await conn.execute(RECALL_SQL, row["id"])
        _tell(row, before, after, now)


def _judge(
    ctx: Context, row: asyncpg.Record, before: Breaker, parts: list[Said], now: datetime
) -> Breaker:
    paused = before.paused_until
    fresh = [one.heard for one in parts if paused is None or one.asked_at >= paused]
    late = [one.heard for one in parts if paused is not None and one.asked_at < paused]
    after = reminded(before, joined(late), now=now)
    if not fresh:
        return after
    limits = ctx.policy.backoff

    def pause(trips: int) -> timedelta:
        return backoff(trips, base=limits.base, cap=limits.cap, rng=ctx.rng)

    allowed = most_doubts(ctx.channels[ChannelKind.from_code(row["channel"])].batch_limit)
    return judge(after, joined(fresh), doubts_allowed=allowed, now=now, pause=pause)


def _tell(row: asyncpg.Record, before: Breaker, after: Breaker, now: datetime) -> None:
    channel = ChannelKind.from_code(row["channel"])
    if after.trips and after.trips != before.trips and after.paused_until is not None:
        pause = (after.paused_until - now).total_seconds()
        log.warning(
            "sender_stopped",
            channel=channel,
            why=after.why,
            trips=after.trips,
            pause_s=round(pause, 1),
        )
    elif before.trips and not after.trips:
        log.warning("sender_resumed", channel=channel, trips=before.trips)
