"""Receipts that fit no delivery: kept aside, looked at again for a while, then dead-lettered.

No receipt can overtake the delivery that it is about: that was committed before anything left. But a database
restored from yesterday knows nothing of today's messages, and a replica that was promoted may lack the last
of them; whoever brings them back within a quarter of an hour finds their receipts still there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from channels.model import ChannelKind
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.metrics import RECEIPTS_UNMATCHED
from dispatcher.rules.receipts import Fact
from dispatcher.stages.track.consequences import draw
from dispatcher.stages.track.merge import Deliveries, archive, merge

log = structlog.get_logger(__name__)

ROWS_A_TURN = 200
LOOKS = 10  # within the time they are kept

PARK_SQL = """
insert into parked_receipt (parked_at, look_at, update_id, channel, facts)
select $1, $2, t.* from jsonb_to_recordset($3) as t(update_id bigint, channel smallint, facts jsonb)
"""
TAKE_PARKED_SQL = """
delete from parked_receipt where id in (
    select id from parked_receipt where look_at <= $1 order by look_at limit $2 for update skip locked)
returning parked_at, update_id, channel, facts
"""

Groups = Mapping[Deliveries, Sequence[Fact]]


async def apply(conn: Connection, groups: Groups, *, now: datetime) -> dict[Deliveries, list[Fact]]:
    """Merge facts, draw their consequences and archive them; returns those that fit no delivery."""
    unmatched: dict[Deliveries, list[Fact]] = {}
    for deliveries, facts in sorted(groups.items()):
        matched = await merge(conn, deliveries, facts, now=now)
        fitting = [fact for fact in facts if (fact.endpoint, fact.purpose) in matched]
        if fitting:
            await archive(conn, deliveries, fitting, matched=True)
            await draw(conn, deliveries, fitting, now=now)
        if len(fitting) < len(facts):
            unmatched[deliveries] = [
                fact for fact in facts if (fact.endpoint, fact.purpose) not in matched
            ]
    return unmatched


async def park(
    conn: Connection, ctx: Context, unmatched: Groups, *, since: datetime, now: datetime
) -> None:
    """Keep facts aside for another look; `since` they have been kept."""
    if not unmatched:
        return
    pause = timedelta(seconds=ctx.settings.worker.park_receipts_s / LOOKS)
    rows = [
        {
            "update_id": deliveries.update,
            "channel": deliveries.channel,
            "facts": [list(fact) for fact in facts],
        }
        for deliveries, facts in unmatched.items()
    ]
    await conn.execute(PARK_SQL, since, now + pause, rows)


async def look_again(ctx: Context) -> None:
    """One turn over parked receipts that are due: applied, parked on, or dead-lettered."""
    await in_transaction(ctx.pool, lambda conn: _look_again(conn, ctx), rng=ctx.rng)


async def _look_again(conn: Connection, ctx: Context) -> None:
    now = ctx.now()
    over = now - timedelta(seconds=ctx.settings.worker.park_receipts_s)
    by_age: dict[datetime, dict[Deliveries, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for row in await conn.fetch(TAKE_PARKED_SQL, now, ROWS_A_TURN):
        kept = by_age[row["parked_at"]][Deliveries(row["update_id"], row["channel"])]
        kept += [Fact(*fact) for fact in row["facts"]]
    for since, groups in by_age.items():
        unmatched = await apply(conn, groups, now=now)
        if since > over:
            await park(conn, ctx, unmatched, since=since, now=now)
        else:
            await _dead_letter(conn, unmatched)


async def _dead_letter(conn: Connection, unmatched: Groups) -> None:
    """Write down that nothing fits them: rows of `receipt` that are not matched."""
    for deliveries, facts in unmatched.items():
        await archive(conn, deliveries, facts, matched=False)
        channel = ChannelKind.from_code(deliveries.channel)
        RECEIPTS_UNMATCHED.labels(channel).inc(len(facts))
        log.warning(
            "receipts_dead_lettered", update_id=deliveries.update, channel=channel, count=len(facts)
        )
