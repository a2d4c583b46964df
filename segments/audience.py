"""Who is to be told, in SQL: one row per contact and allowed channel, reachable or not.

AUDIENCE_SQL is a SELECT to be put into `with a as materialized (…)`. Its placeholders, in the order
of AudienceQuery.params: $1 lo (exclusive contact id) · $2 hi (inclusive) · $3 now · $4 component_ids ·
$5 regions · $6 account_ids · $7 exclude_account_ids · $8 segments · $9 always_segments ·
$10 visibility · $11 quiet_binds · $12 rule_segments · $13 rule_channels · $14 rule_roles ·
$15 suppressed (endpoint ids, see `suppressed_endpoints`).

Its columns: contact_id, account_id, segment, locale, channel, endpoint_id, address_id,
contact_version, reason, not_before. `reason` is 0 for a row that can go, else an Exclusion; then
endpoint_id is the negated contact id, so that one contact's missing consent never stands in the way
of another who shares the number. `not_before` is now, or the end of the contact's quiet hours.
Contacts who asked not to be told are no rows at all.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from segments.model import MAX_ID, AudienceQuery, Db

AUDIENCE_PARAMS: Final = 15
"""How many placeholders AUDIENCE_SQL has; a statement around it goes on with $16."""

# Whether account `a` is to be told, and what the policy allows; both are used twice.
_AFFECTED: Final = """
    a.removed_at is null
    and a.id <> all ($7::bigint[])
    and (cardinality($8::text[]) = 0 or a.segment = any ($8::text[]))
    and (a.segment = any ($9::text[])
         or $10::text <> 'internal'
            and case when cardinality($6::bigint[]) > 0 then a.id = any ($6::bigint[])
                else exists (
                    select from usage u
                    where u.account_id = a.id and u.component_id = any ($4::bigint[])
                      and (cardinality($5::text[]) = 0
                           or u.region = '' or u.region = any ($5::text[])))
                end)
"""
_RULE: Final = """
    select r.segment, r.channel,
           case when r.roles <> '' then string_to_array(r.roles, ',') end as roles
    from unnest($12::text[], $13::smallint[], $14::text[]) as r (segment, channel, roles)
"""

# The range predicate stands on every table that has a contact id: without it each range would
# rescan the whole table. Accounts are looked up from the range's contacts for the same reason.
# Wishes are an anti-join: of a truth value the planner would think that half the rows pass, and then
# look up links one by one. Suppressions are few beside addresses, so they are turned into endpoints
# once; to look up the hash of each address would cost more than all the rest.
AUDIENCE_SQL: Final = f"""
    with people as materialized (
        select id, account_id, version_id, roles, locale, time_zone, quiet_from, quiet_until
        from contact
        where id > $1::bigint and id <= $2::bigint and removed_at is null
    ), affected as materialized (
        select a.id, a.segment, a.locale, a.time_zone
        from account a
        where a.id in (select account_id from people) and {_AFFECTED}
    ), rule as materialized (
        {_RULE}
    ), unwanted as (
        select s.contact_id, s.channel
        from subscription s
        where s.contact_id > $1::bigint and s.contact_id <= $2::bigint
          and (s.component_id = 0 or s.component_id = any ($4::bigint[]))
        group by s.contact_id, s.channel
        having not (
            coalesce(bool_or(s.wanted) filter (where s.component_id <> 0), false)
            or count(*) filter (where s.component_id <> 0) < greatest(cardinality($4::bigint[]), 1)
               and coalesce(bool_or(s.wanted) filter (where s.component_id = 0), true))
    ), found as (
        select p.id as contact_id, p.account_id, a.segment,
               coalesce(nullif(p.locale, ''), a.locale) as locale, r.channel,
               ce.endpoint_id, ce.address_id, p.version_id,
               case when ce.endpoint_id is null then 1
                    when sup.id is not null then 2
                    when r.channel = 2 and ce.consented is not true then 3
                    else 0 end::smallint as reason,
               p.quiet_from, p.quiet_until, z.zone, $3::timestamptz at time zone z.zone as local
        from people p
        join affected a on a.id = p.account_id
        cross join lateral (
            select case when $11::boolean and p.quiet_from is not null
                        then known_zone(coalesce(nullif(p.time_zone, ''), a.time_zone)) end
                   as zone) z
        join rule r on r.segment = a.segment
            and case when r.roles is null then true else r.roles && p.roles end
        left join contact_endpoint ce
            on ce.contact_id = p.id and ce.channel = r.channel and ce.removed_at is null
           and ce.contact_id > $1::bigint and ce.contact_id <= $2::bigint
        left join unnest($15::bigint[]) as sup (id) on sup.id = ce.endpoint_id
        left join unwanted no on no.contact_id = p.id and no.channel = r.channel
        where no.contact_id is null
    )
    select f.contact_id, f.account_id, f.segment, f.locale, f.channel,
           case when f.reason = 0 then f.endpoint_id else -f.contact_id end as endpoint_id,
           f.address_id, f.version_id as contact_version, f.reason,
           case when f.local is null or not (case
                    when f.quiet_from < f.quiet_until
                    then f.local::time >= f.quiet_from and f.local::time < f.quiet_until
                    else f.local::time >= f.quiet_from or f.local::time < f.quiet_until end)
                then $3::timestamptz
                else (f.local::date + f.quiet_until + case
                    when f.local::time < f.quiet_until then interval '0' else interval '1 day' end
                    ) at time zone f.zone end as not_before
    from found f
"""


@dataclass(frozen=True, slots=True)
class CountRow:
    """How many people of a segment get `reason` on a channel; reason 0 is "would be told"."""

    segment: str
    channel: int
    reason: int
    n: int


_SUPPRESSED: Final = """
    select e.id from suppression s
    join address a on a.channel = s.channel and a.hash = s.address_hash
    join endpoint e on e.address_id = a.id
"""


async def suppressed_endpoints(conn: Db) -> list[int]:
    """Endpoints whose address must not be used, as AUDIENCE_SQL wants them; one a suppression."""
    return [row["id"] for row in await conn.fetch(_SUPPRESSED)]


# A shared inbox gets one message: its contact with the lowest id, the others are covered by it.
# Few inboxes are shared, so the rows are counted first and only those looked at one by one.
_COUNT_SQL: Final = f"""
    with shared as materialized (
        select endpoint_id from contact_endpoint
        where removed_at is null group by endpoint_id having count(*) > 1
    ), counted as (
        select a.segment, a.channel, a.reason, shared.endpoint_id, count(*) as n,
               min(a.contact_id) as first_contact
        from ({AUDIENCE_SQL}) a
        left join shared on shared.endpoint_id = a.endpoint_id
        group by 1, 2, 3, 4
    ), split as (
        select segment, channel, reason, n, endpoint_id is not null as is_shared,
               first_contact = min(first_contact) over (partition by channel, endpoint_id) as first
        from counted
    )
    select segment, channel, reason,
           sum(case when not is_shared then n when first then 1 else 0 end)::bigint as n
    from split group by 1, 2, 3
    union all
    select segment, channel, 4::smallint, sum(case when first then n - 1 else n end)::bigint
    from split where is_shared group by 1, 2
    order by 1, 2, 3
"""


@asynccontextmanager
async def planned_for_its_values(conn: Db) -> AsyncIterator[None]:
    """A transaction in which PostgreSQL plans AUDIENCE_SQL for the very range it is given.

    After five runs it would otherwise settle for one plan made for an unknown range, which is
    many times slower for a wide one.
    """
    async with conn.transaction():
        await conn.execute("set local plan_cache_mode = force_custom_plan")
        await conn.execute("set local jit = off")
        await conn.execute("set local work_mem = '64MB'")
        yield


@asynccontextmanager
async def over_everybody(conn: Db) -> AsyncIterator[list[int]]:
    """Settings to look at everybody at once; the suppressed endpoints, as AUDIENCE_SQL wants them.

    Only to read: all is taken back, for the settings must not outlive this in a caller's transaction.
    """
    transaction = conn.transaction()
    await transaction.start()
    try:
        async with planned_for_its_values(conn):
            suppressed = await suppressed_endpoints(conn)
            # Over everybody hash joins win, and PostgreSQL guesses too few rows to see it.
            await conn.execute("set local enable_nestloop = off")
            yield suppressed
    finally:
        await transaction.rollback()


async def count(conn: Db, query: AudienceQuery, now: datetime) -> list[CountRow]:
    """Numbers per segment, channel and reason over everybody, as a dispatch would plan them."""
    async with over_everybody(conn) as suppressed:
        rows = await conn.fetch(_COUNT_SQL, *query.params(0, MAX_ID, now, suppressed))
    return [CountRow(*row) for row in rows if row["n"]]


# From the accounts, which are far fewer than the contacts. PostgreSQL wants every parameter used.
_EMPTY_SQL: Final = f"""
    with rule as materialized ({_RULE})
    select not exists (
        select from account a
        join rule r on r.segment = a.segment
        join contact c on c.account_id = a.id
        where c.id > $1::bigint and c.id <= $2::bigint and c.removed_at is null
          and case when r.roles is null then true else r.roles && c.roles end
          and $3::timestamptz is not null and $11::boolean is not null and $15::bigint[] is not null
          and {_AFFECTED})
"""


async def is_empty(conn: Db, query: AudienceQuery, now: datetime) -> bool:
    """Whether there is nobody to tell, reachable or not, wishes aside."""
    async with planned_for_its_values(conn):
        empty: bool = await conn.fetchval(_EMPTY_SQL, *query.params(0, MAX_ID, now, []))
    return empty
