"""What is no history is removed: canaries of yesterday, sessions and links that are long over.

Canaries go whole and a few at a time.
"""

from datetime import datetime, timedelta

from dispatcher.db import Connection
from dispatcher.rules.canary import CANARY

# A day has 1,440 of them, and so many turns.
A_TURN = 20

# A link to a report lives up to 30 days, and asks whose session made it.
SESSIONS_KEPT = timedelta(days=31)
LINKS_KEPT = timedelta(days=7)
BRAKES_KEPT = timedelta(days=1)
# Where somebody was let in; as long as dispatcher/web/people/brake.py asks for it.
PLACES_KEPT = timedelta(days=90)

# What was asked for in a session is known by its key for 72 hours more.
SESSIONS_SQL = """
delete from api_key k
where k.kind = 'session' and k.expires_at < $1
  and not exists (select from idempotency i where i.api_key_id = k.id)
"""
LINKS_SQL = "delete from user_link where ends_at < $1"
STATES_SQL = "delete from oidc_state where ends_at < $1"
BRAKES_SQL = "delete from sign_in_brake where at < $1 and (failed > 0 or at < $2)"
OLD_SQL = """
select k.update_id, k.incident_id, d.id as dispatch_id
from canary_update k join dispatch d on d.update_id = k.update_id
where k.at < clock_timestamp() - interval '1 day' and d.state in ('completed', 'cancelled')
order by k.at limit $1
"""
RECEIPTS_SQL = "delete from receipt where update_id = any($1::bigint[])"
DELIVERIES_SQL = "delete from delivery where update_id = any($1::bigint[])"
ACCOUNTS_SQL = """
delete from account_update
where account_id = (select id from account where external_id = $2) and update_id = any($1::bigint[])
"""
EXPORTS_SQL = "delete from export where dispatch_id = any($1::bigint[])"
REPORTS_SQL = "delete from dispatch_report where dispatch_id = any($1::bigint[])"
SLICES_SQL = "delete from slice where dispatch_id = any($1::bigint[])"
DISPATCHES_SQL = "delete from dispatch where id = any($1::bigint[])"
WORDS_SQL = "delete from rendering where update_id = any($1::bigint[])"
UPDATES_SQL = "delete from incident_update where id = any($1::bigint[])"
CANARIES_SQL = "delete from canary_update where update_id = any($1::bigint[])"
INCIDENTS_SQL = "delete from incident where id = any($1::bigint[])"


async def forget_visits(conn: Connection, *, now: datetime) -> None:
    """Remove sessions, one-time links and attempts to sign in that are over and no longer asked about."""
    await conn.execute(SESSIONS_SQL, now - SESSIONS_KEPT)
    await conn.execute(LINKS_SQL, now - LINKS_KEPT)
    await conn.execute(STATES_SQL, now)
    await conn.execute(BRAKES_SQL, now - BRAKES_KEPT, now - PLACES_KEPT)


async def forget_canaries(conn: Connection) -> int:
    """Remove some that are a day old and over; how many. The caller owns the transaction."""
    rows = await conn.fetch(OLD_SQL, A_TURN)
    if not rows:
        return 0
    updates, incidents, dispatches = (
        [row[name] for row in rows] for name in ("update_id", "incident_id", "dispatch_id")
    )
    for statement in (RECEIPTS_SQL, DELIVERIES_SQL):
        await conn.execute(statement, updates)
    await conn.execute(ACCOUNTS_SQL, updates, CANARY)
    for statement in (EXPORTS_SQL, REPORTS_SQL, SLICES_SQL, DISPATCHES_SQL):
        await conn.execute(statement, dispatches)
    for statement in (WORDS_SQL, UPDATES_SQL, CANARIES_SQL):
        await conn.execute(statement, updates)
    await conn.execute(INCIDENTS_SQL, incidents)
    return len(rows)
