"""After the rules changed: every account to the segment that they put it in now."""

from datetime import datetime
from typing import Final

import orjson

from segments.model import Db
from segments.rules import Rules, segment_of

CHUNK: Final = 5_000
_LOCK: Final = 7202604
_KEY: Final = "segment_rules"
# The wait for another process that is at it may be longer than any statement.
_PATIENCE_S: Final = 3600.0

_FOLLOWED: Final = "select value from setting where key = $1::text"
_FOLLOW: Final = """
    insert into setting (key, value) values ($1::text, $2::text)
    on conflict (key) do update set value = excluded.value
"""
_READ: Final = """
    select id, attributes::text, segment, segment_rule from account
    where id > $1::bigint order by id limit $2
"""
# Whoever changed the attributes since we read them has decided the segment anew.
_MOVE: Final = """
    with moving as (
        select a.id, n.segment, n.rule
        from account a
        join unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
            as n (id, attributes, segment, rule) on n.id = a.id
        where a.id = any ($1::bigint[]) and a.attributes = n.attributes::jsonb
        order by a.id for update of a
    )
    update account a set segment = m.segment, segment_rule = m.rule, updated_at = $5::timestamptz
    from moving m where a.id = m.id
"""


async def ensure_segments(conn: Db, rules: Rules, *, now: datetime) -> int:
    """Move accounts that other rules decided to the segments of these; how many moved.

    One look where these are the rules already followed. Many processes may call it at once: one
    does the work, the others wait. All or nothing: it runs in a transaction (the caller's, if any),
    and may lose a deadlock against an import that runs meanwhile, so be ready to begin it again.
    """
    if await conn.fetchval(_FOLLOWED, _KEY) == rules.digest:
        return 0
    async with conn.transaction():
        await conn.execute("set local statement_timeout = 0")
        await conn.execute("select pg_advisory_xact_lock($1)", _LOCK, timeout=_PATIENCE_S)
        if await conn.fetchval(_FOLLOWED, _KEY) == rules.digest:
            return 0
        moved = await _resegment(conn, rules, now)
        await conn.execute(_FOLLOW, _KEY, rules.digest)
    return moved


async def _resegment(conn: Db, rules: Rules, now: datetime) -> int:
    moved = last = 0
    while rows := await conn.fetch(_READ, last, CHUNK):
        last = rows[-1]["id"]
        moving = []
        for id_, attributes, segment, rule in rows:
            decision = segment_of(orjson.loads(attributes), rules)
            if (decision.segment, decision.rule) != (segment, rule):
                moving.append((id_, attributes, decision.segment, decision.rule))
        if moving:
            done: str = await conn.execute(_MOVE, *zip(*moving, strict=True), now)
            moved += int(done.rsplit(" ", 1)[1])
    return moved
