"""Who is to be told, in SQL: one row per contact and allowed channel, reachable or not.

AUDIENCE_SQL is a SELECT to be put into `with a as materialized (…)`. Its placeholders, in the order
of AudienceQuery.params: $1 lo (exclusive contact id) · $2 hi (inclusive) · $3 now · $4 component_ids ·
$5 regions · $6 account_ids · $7 exclude_account_ids · $8 segments · $9 always_segments ·
$10 visibility · $11 quiet_binds · $12 rule_segments · $13 rule_channels · $14 rule_roles.

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

AUDIENCE_PARAMS: Final = 14
"""How many placeholders AUDIENCE_SQL has; a statement around it goes on with $15."""

# The range predicate stands on every table that has a contact id: without it each range would
# rescan the whole table. Accounts are looked up from the range's contacts for the same reason.
AUDIENCE_SQL: Final = """
    with people as materialized (
        select id, account_id, version_id, roles, locale, time_zone, quiet_from, quiet_until
        from contact
        where id > $1::bigint and id <= $2::bigint and removed_at is null
    ), affected as materialized (
        select a.id, a.segment, a.locale, a.time_zone
        from account a
        where a.id in (select account_id from people)
          and a.removed_at is null
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
    ), rule as materialized (
        select r.segment, r.channel,
               case when r.roles <> '' then string_to_array(r.roles, ',') end as roles
        from unnest($12::text[], $13::smallint[], $14::text[]) as r (segment, channel, roles)
    ), wish as (
        select s.contact_id, s.channel,
               coalesce(bool_or(s.wanted) filter (where s.component_id <> 0), false)
               or count(*) filter (where s.component_id <> 0)
                      < greatest(cardinality($4::bigint[]), 1)
                  and coalesce(bool_or(s.wanted) filter (where s.component_id = 0), true) as wanted
        from subscription s
        where s.contact_id > $1::bigint and s.contact_id <= $2::bigint
          and (s.component_id = 0 or s.component_id = any ($4::bigint[]))
        group by s.contact_id, s.channel
    ), found as (
        select p.id as contact_id, p.account_id, a.segment,
               coalesce(nullif(p.locale, ''), a.locale) as locale, r.channel,
               ce.endpoint_id, ce.address_id, p.version_id,
               case when ce.endpoint_id is null then 1
                    when sup.channel is not null then 2
                    when r.channel = 2 and ce.consented is not true then 3
                    else 0 end::smallint as reason,
               p.quiet_from, p.quiet_until, z.zone, $3::timestamptz at time zone z.zone as local
        from people p
        join affected a on a.id = p.account_id
        cross join lateral (
            select case when $11::boolean and p.quiet_from is not null
                        then coalesce(nullif(p.time_zone, ''), a.time_zone) end as zone) z
        join rule r on r.segment = a.segment
            and case when r.roles is null then true else r.roles && p.roles end
        left join contact_endpoint ce
            on ce.contact_id = p.id and ce.channel = r.channel and ce.removed_at is null
           and ce.contact_id > $1::bigint and ce.contact_id <= $2::bigint
        left join address ad on ad.id = ce.address_id
        left join suppression sup on sup.channel = r.channel and sup.address_hash = ad.hash
        left join wish w on w.contact_id = p.id and w.channel = r.channel
        where coalesce(w.wanted, true)
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


def _around(select: str) -> str:
    return f"with a as materialized ({AUDIENCE_SQL}) {select}"


# A shared inbox gets one message: its contact with the lowest id, the others are covered by it.
_COUNT_SQL: Final = _around("""
    , first as (
        select channel, endpoint_id, min(contact_id) as contact_id
        from a group by channel, endpoint_id
    )
    select a.segment, a.channel,
           case when a.reason = 0 and first.contact_id <> a.contact_id then 4
                else a.reason end::smallint as reason,
           count(*) as n
    from a left join first
        on a.reason = 0 and first.channel = a.channel and first.endpoint_id = a.endpoint_id
    group by 1, 2, 3 order by 1, 2, 3
""")


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


async def count(conn: Db, query: AudienceQuery, now: datetime) -> list[CountRow]:
    """Numbers per segment, channel and reason over everybody, as a dispatch would plan them."""
    async with planned_for_its_values(conn):
        rows = await conn.fetch(_COUNT_SQL, *query.params(0, MAX_ID, now))
    return [CountRow(*row) for row in rows]


# Whether anybody could be reached is for the report; this asks whether anybody is concerned. The
# affected accounts are few or found at once, so it ends early either way.
_EMPTY_SQL: Final = _around("select not exists (select from a) as empty")


async def is_empty(conn: Db, query: AudienceQuery, now: datetime) -> bool:
    """Whether not one contact is in the audience, reachable or not."""
    async with planned_for_its_values(conn):
        empty: bool = await conn.fetchval(_EMPTY_SQL, *query.params(0, MAX_ID, now))
    return empty
