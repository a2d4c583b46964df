"""What follows from a receipt beyond evidence: why it failed, and addresses to leave alone or use again."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from dispatcher.db import Connection
from dispatcher.rules.reasons import suppression_reason
from dispatcher.rules.receipts import LIFT, SUPPRESS, Fact
from dispatcher.stages.track.merge import Deliveries
from segments.suppressions import lift_opt_outs, suppress_hashes

REASON_SQL = """
update delivery set reason = $4::smallint
where update_id = $1 and channel = $2 and endpoint_id = any($3::bigint[]) and reason = 0
"""
HASHES_SQL = """
select e.id, a.hash from endpoint e join address a on a.id = e.address_id
where e.channel = $1 and e.id = any($2::bigint[]) and a.hash is not null
"""


async def draw(
    conn: Connection, deliveries: Deliveries, facts: Sequence[Fact], *, now: datetime
) -> None:
    """Reasons on the deliveries, and addresses that must (or may again) be used."""
    latest = {fact.endpoint: fact.reason for fact in facts if fact.reason}
    endpoints: dict[int, list[int]] = defaultdict(list)
    for endpoint, reason in latest.items():
        endpoints[reason].append(endpoint)
    for reason, alike in endpoints.items():
        await conn.execute(REASON_SQL, *deliveries, alike, reason)
    marked = [fact for fact in facts if fact.marks]
    if marked:
        await _rest_or_lift(conn, deliveries.channel, marked, now)


async def _rest_or_lift(
    conn: Connection, channel: int, marked: Sequence[Fact], now: datetime
) -> None:
    endpoints = [fact.endpoint for fact in marked]
    hashes = {row["id"]: row["hash"] for row in await conn.fetch(HASHES_SQL, channel, endpoints)}
    known = [(fact, hashes[fact.endpoint]) for fact in marked if fact.endpoint in hashes]
    stops = [
        (channel, hashed, suppression_reason(fact.reason), "provider", now)
        for fact, hashed in known
        if fact.marks & SUPPRESS
    ]
    await suppress_hashes(conn, stops)
    await lift_opt_outs(conn, [(channel, hashed) for fact, hashed in known if fact.marks & LIFT])
