"""A population made by SQL: ten people an account, mail for all, a phone for 40 %, an app user for 60 %.

Components say whom an incident concerns: `all` is used by every account, `some` by 45 % (so a P0 or P1
makes about 1.3 deliveries for each person there is), `tenth` and `hundredth` by the first accounts,
`rare` by one account in a hundred, spread evenly. One account in 200 is our own people, who are always told.
"""

from datetime import datetime
from typing import Final

from dispatcher.db import Connection
from segments.rules import SHIPPED_RULES, load_rules
from segments.store import ensure_segments

A_TEAM: Final = 10
_USES: Final = {
    "all": "true",
    "some": "id % 100 < 45",
    "tenth": "id <= $1::bigint / 100",
    "hundredth": "id <= $1::bigint / 1000",
    "rare": "id % 100 = 7",
}

_ACCOUNTS: Final = """
insert into account (id, external_id, name, attributes, segment, segment_rule, created_at, updated_at)
overriding system value
select i, 'acct-' || i, 'Account ' || i,
       case when i % 200 = 0 then '{"kind": "staff"}'::jsonb
            when i % 20 < 3 then '{"tier": "enterprise"}'::jsonb else '{}'::jsonb end,
       '', '', $2::timestamptz, $2::timestamptz
from generate_series(1, greatest($1::bigint / 10, 1)) i
"""
_VERSIONS: Final = """
insert into contact_version (id, contact_id, name, created_at) overriding system value
select i, i, 'Person ' || i, $2::timestamptz from generate_series(1, $1::bigint) i
"""
_CONTACTS: Final = """
insert into contact (id, account_id, external_id, version_id, created_at, updated_at)
overriding system value
select i, least((i - 1) / 10 + 1, greatest($1::bigint / 10, 1)), 'person-' || i, i,
       $2::timestamptz, $2::timestamptz
from generate_series(1, $1::bigint) i
"""
# Mail, text, banner: numbered one after the other, so that an endpoint tells its person.
_ADDRESSES: Final = """
insert into address (id, channel, value, hash, created_at) overriding system value
select i, 1, v, sha256(v::bytea), $2::timestamptz
from generate_series(1, $1::bigint) i, lateral (select 'person-' || i || '@example.com') t(v)
union all
select $1 + i, 2, v, sha256(v::bytea), $2::timestamptz
from generate_series(1, $1::bigint) i, lateral (select '+1' || (2125550100 + i)) t(v) where i % 5 < 2
union all
select 2 * $1 + i, 4, v, sha256(v::bytea), $2::timestamptz
from generate_series(1, $1::bigint) i, lateral (select 'user-' || i) t(v) where i % 5 < 3
"""
_ENDPOINTS: Final = """
insert into endpoint (id, channel, address_id, created_at) overriding system value
select id, channel, id, created_at from address
"""
_LINKS: Final = """
insert into contact_endpoint (contact_id, endpoint_id, address_id, channel, consented, created_at)
select (id - 1) % $1::bigint + 1, id, address_id, channel, case when channel = 2 then true end, created_at
from endpoint
"""
# Of people who are customers no more: an opt-out list is long, but few on it are still written to.
_SUPPRESSED: Final = """
insert into suppression (channel, address_hash, reason, source, at)
select 1, sha256(('gone-' || i)::bytea), 1, 'benchmark', $2::timestamptz
from generate_series(1, $1::bigint / 50) i
"""
_SEQUENCES: Final = ("account", "contact", "contact_version", "address", "endpoint")


async def populate(conn: Connection, n: int, *, now: datetime) -> None:
    """Fill a migrated, empty database with `n` people."""
    await conn.execute("set statement_timeout = 0")
    # References hold by construction; checking each of millions of rows would take as long again.
    await conn.execute("set session_replication_role = replica")
    for statement in (_ACCOUNTS, _VERSIONS, _CONTACTS, _ADDRESSES):
        await conn.execute(statement, n, now)
    await conn.execute(_ENDPOINTS)
    await conn.execute(_LINKS, n)
    await conn.execute(_SUPPRESSED, n, now)
    for name, which in _USES.items():
        component = await conn.fetchval(
            """insert into component (external_id, name, public_name, created_at, updated_at)
               values ($1, $1, initcap($1), $2::timestamptz, $2::timestamptz) returning id""",
            name,
            now,
        )
        # The number of people counts for some of them only; PostgreSQL wants every parameter used.
        await conn.execute(
            f"""insert into usage (account_id, component_id)
                select id, $2::bigint from account where $1::bigint > 0 and {which}""",
            n,
            component,
        )
    await conn.execute("set session_replication_role = origin")
    for table in _SEQUENCES:
        await conn.execute(
            f"select setval(pg_get_serial_sequence('{table}', 'id'), (select max(id) from {table}))"
        )
    await ensure_segments(conn, load_rules(SHIPPED_RULES), now=now)
    await conn.execute("vacuum (analyze)")
