"""Pause and resume one channel by hand. What has not begun to leave stays; nothing of it is lost."""

from datetime import datetime

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.jobs import Event, publish
from dispatcher.rules.problem import conflict
from dispatcher.rules.states import SliceState

PUBLISHES = ("slices.waiting",)

# The lock that release takes: a turn that was under way has ended, and what it gave a moment is taken back.
LOCK_SENDERS_SQL = "select id from sender where channel = $1 order by id for no key update"
# Said again, it is the same pause; said otherwise, it goes on for the newest reason and until the newest end.
PAUSE_SQL = """
insert into channel_pause as p (channel, paused_at, until, paused_by, reason) values ($1, $2, $3, $4, $5)
on conflict (channel) do update
    set until = excluded.until, paused_by = excluded.paused_by, reason = excluded.reason,
        paused_at = case when p.until <= $2 then $2 else p.paused_at end
where p.until <= $2 or (p.until, p.reason) is distinct from (excluded.until, excluded.reason)
returning channel
"""
RECALL_SQL = f"""
update slice s set state = {SliceState.WAITING:d}, start_at = null, lease_until = null, epoch = s.epoch + 1
from (select id from slice where sender_id = any($1::smallint[]) and state = {SliceState.RELEASED:d}
      order by id for update skip locked) r
where s.id = r.id
"""
RESUME_SQL = (
    "delete from channel_pause where channel = $1 returning coalesce(until > $2, true) as paused"
)
WAITING_SENDERS_SQL = f"""
select s.id from sender s where s.channel = $1
and exists (select from slice w where w.sender_id = s.id and w.state = {SliceState.WAITING:d})
"""
_AT_ONCE = 10


async def pause_channel(
    conn: Connection,
    kind: ChannelKind,
    *,
    reason: str,
    until: datetime | None,
    actor: str,
    now: datetime,
) -> bool:
    """Hold what has not left, P0 too, until `until` or `resume_channel`; returns whether that is new.

    The caller owns the transaction; an intent that begins after its commit obeys. Raises RefusedError
    (409) for a channel on which nothing is sent.
    """
    senders = await _lock(conn, kind)
    if await conn.fetchval(PAUSE_SQL, kind.code, now, until, actor, reason) is None:
        return False
    await conn.execute(RECALL_SQL, senders)
    return True


async def resume_channel(conn: Connection, kind: ChannelKind, *, now: datetime) -> bool:
    """Let a channel go on, as far as its provider lets it; returns whether it was paused.

    Raises RefusedError as `pause_channel` does.
    """
    await _lock(conn, kind)
    if not await conn.fetchval(RESUME_SQL, kind.code, now):
        return False
    waiting = await conn.fetch(WAITING_SENDERS_SQL, kind.code)
    await publish(conn, [Event("slices.waiting", row["id"], _AT_ONCE) for row in waiting])
    return True


async def _lock(conn: Connection, kind: ChannelKind) -> list[int]:
    if kind is ChannelKind.BANNER:
        raise conflict(
            "nothing-to-pause",
            "Banners are not sent: applications fetch them. Cancel the dispatch to take its banners down",
        )
    return [row["id"] for row in await conn.fetch(LOCK_SENDERS_SQL, kind.code)]
