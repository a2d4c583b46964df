"""The fan-out: one statement a range turns audience rows into deliveries and waiting slices."""

from channels.model import ChannelKind
from dispatcher.rules.states import DeliveryState, Shown, SliceState
from segments.audience import AUDIENCE_PARAMS, AUDIENCE_SQL
from segments.model import Exclusion

_P = AUDIENCE_PARAMS
# A channel's slices take their rounds in two rows: those of large accounts, and all others.
ROUND_KINDS = 2 * max(kind.code for kind in ChannelKind) + 1
_ANY_NUMBER = 1_000_000  # what is not sent needs no slices that a provider takes in one request

CLAIM_SQL = """
select d.id as dispatch_id, d.cursor, d.wave, d.created_at as decided_at, u.*
from dispatch d join incident_update u on u.id = d.update_id
where d.update_id = $1 and d.state = 'planning' and u.state = 'approved'
"""
# One planner at a time. Not the dispatch's row lock: every intent wants to look at that row, and a
# range takes a while; the cursor is moved only where nobody cancelled meanwhile.
ALONE_SQL = "select pg_try_advisory_xact_lock(7202603, hashint8($1))"
# Two ranges may share an inbox: then the later one waits for the earlier, or the other way about.
WAITED_FOR_SQL = """
select exists (select from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)))
"""
# Accounts with a large part of all contacts, by PostgreSQL's own statistics: counting a million would take
# as long as planning the first messages. Where it has none yet, nobody is taken for large.
LARGE_ACCOUNTS_SQL = """
select v.id from pg_stats p
cross join unnest(p.most_common_vals::text::bigint[], p.most_common_freqs) as v(id, share)
where p.schemaname = current_schema() and p.tablename = 'contact' and p.attname = 'account_id'
  and v.share >= $1::float8
  and v.share * (select reltuples from pg_class where oid = 'contact'::regclass) >= $2::int
"""
SLICES_SQL = "select count(*) from slice where dispatch_id = $1"
SENDERS_SQL = """
select distinct on (channel) id, channel, configured, limits from sender
order by channel, configured desc, updated_at desc, id desc
"""

# Two rows for one endpoint collapse to the first; the second contact is then recorded as covered by
# the shared inbox. Slices are made from the rows that were really inserted, so they hold no strangers.
# Both windows have one order, so that the rows are sorted once. kind: 0 goes, 1 must not, 2 cannot.
# Large accounts have slices of their own, which count their rounds apart: see release.
FAN_OUT_SQL = f"""
with way as materialized (
    select * from unnest(${_P + 1}::smallint[], ${_P + 2}::smallint[], ${_P + 3}::boolean[],
                         ${_P + 4}::int[], ${_P + 5}::timestamptz[])
                  as w(channel, sender_id, configured, size, expires_at)
), word as materialized (
    select id, channel, segment, locale, units from rendering
    where update_id = ${_P + 8} and account_id is null
), judged as (
    select a.contact_id, a.account_id, a.channel, a.endpoint_id, a.address_id, a.contact_version, a.not_before,
           w.size, coalesce(r.id, 0) as rendering_id, y.why, a.account_id = any(${_P + 13}::bigint[]) as large,
           (case when y.why = 0 then 0 when y.why in ({Exclusion.SUPPRESSED:d}, {Exclusion.NO_CONSENT:d})
                 then 1 else 2 end)::smallint as kind
    from ({AUDIENCE_SQL}) a
    join way w on w.channel = a.channel
    left join word r on r.channel = a.channel and r.segment = a.segment
         and r.locale = case when a.locale = any(${_P + 9}::text[]) then a.locale else 'en' end
    cross join lateral (
        select (case when a.reason <> 0 then a.reason
                     when not w.configured then ${_P + 6}::smallint
                     when r.id is null then ${_P + 7}::smallint
                     else 0 end)::smallint as why) y
), counted as (
    select j.*, case when kind = 0 then size else {_ANY_NUMBER} end as most,
           row_number() over (partition by rendering_id, channel, kind, large, not_before
                              order by endpoint_id) - 1 as place
    from judged j
), placed as materialized (
    -- A scalar subquery is evaluated once; the range has one block of ids.
    select contact_id, account_id, channel, endpoint_id, address_id, contact_version, not_before,
           rendering_id, why, kind, large, place % most = 0 as first,
           (select nextval('slice_number')) << 20 | sum((place % most = 0)::int) over (
               order by rendering_id, channel, kind, large, not_before, endpoint_id rows unbounded preceding)
           as slice_id
    from counted
), d as (
    insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version,
                          sent_at, channel, purpose, state, reason)
    select ${_P + 8}, endpoint_id, account_id, slice_id, address_id, contact_version,
           case when kind = 0 and channel = 4 then $3::timestamptz end, channel, 1,
           case when kind = 0 then case when channel = 4 then {DeliveryState.ACCEPTED:d}
                                        else {DeliveryState.PLANNED:d} end
                when kind = 1 then {DeliveryState.SUPPRESSED:d}
                else {DeliveryState.UNREACHABLE:d} end, why
    from placed
    on conflict do nothing
    returning slice_id, endpoint_id, contact_version, account_id, channel
), parcel as (
    select p.slice_id, p.channel, p.kind, p.not_before, nullif(p.rendering_id, 0) as rendering_id,
           w.sender_id, w.expires_at, coalesce(r.units, 1) as units, p.kind = 0 and p.channel <> 4 as waits,
           p.large, floor(log(2, b.made + row_number() over (
               partition by p.channel, p.large order by p.slice_id)))::smallint as round
    from placed p join way w on w.channel = p.channel left join word r on r.id = p.rendering_id
    cross join lateral (
        select coalesce((${_P + 14}::int[])[2 * p.channel + p.large::int], 0)::numeric as made) b
    where p.first
), filled as (
    select slice_id, count(*)::int as n, array_agg(endpoint_id) as endpoint_ids from d group by slice_id
), s as (
    insert into slice (id, update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose,
                       lane, round, state, units, n, not_before, expires_at, ended_at, endpoint_ids,
                       n_by_status)
    select slice_id, ${_P + 8}, ${_P + 10}, ${_P + 11}, c.rendering_id, c.sender_id,
           c.channel, 1, ${_P + 12}::smallint, c.round,
           case when c.waits then {SliceState.WAITING:d} else {SliceState.DONE:d} end,
           c.units, f.n, c.not_before, c.expires_at, case when not c.waits then $3::timestamptz end,
           f.endpoint_ids,
           array[case when c.waits then f.n else 0 end, 0,
                 case when c.kind = 0 and not c.waits then f.n else 0 end, 0, 0, 0, 0, 0, 0,
                 case when c.kind = 1 then f.n else 0 end,
                 case when c.kind = 2 then f.n else 0 end, 0, 0, 0]
    from filled f join parcel c using (slice_id)
    returning state, sender_id
), au as (
    insert into account_update (account_id, update_id, n)
    select account_id, ${_P + 8}, count(*) from d group by account_id order by account_id
    on conflict (account_id, update_id) do update set n = account_update.n + excluded.n
), n as (
    select (select count(*) from d) as planned, (select count(*) from placed) as placed
)
select planned,
       (select array_agg(distinct sender_id) from s where state = {SliceState.WAITING:d}) as senders,
       (select array_agg((2 * channel + large::int, made)) from (
           select channel, large, count(*) as made from parcel where waits group by 1, 2) p) as made,
       -- A join would be planned for one row each, that is as nested loops; NOT IN is hashed.
       case when planned < placed then (
           select array_agg((contact_id, account_id, contact_version, channel, rendering_id)) from placed
           where endpoint_id > 0 and (channel, endpoint_id, contact_version) not in (
               select channel, endpoint_id, contact_version from d)) end as covered
from n
"""

COVERED_SQL = f"""
with c as (
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[])
                  as t(contact_id, account_id, contact_version, channel, rendering_id)
), parcel as materialized (
    select channel, rendering_id, nextval('slice_number') << 20 as slice_id from c group by 1, 2
), d as (
    insert into delivery (update_id, endpoint_id, account_id, slice_id, contact_version, channel, purpose,
                          state, reason)
    select $6, -c.contact_id, c.account_id, p.slice_id, c.contact_version, c.channel, 1,
           {DeliveryState.UNREACHABLE:d}, $10::smallint
    from c join parcel p using (channel, rendering_id)
    on conflict do nothing
    returning slice_id, endpoint_id, account_id
), s as (
    insert into slice (id, update_id, incident_id, dispatch_id, rendering_id, channel, purpose, lane, state,
                       n, not_before, expires_at, ended_at, endpoint_ids, n_by_status)
    select p.slice_id, $6, $7, $8, nullif(min(p.rendering_id), 0), min(p.channel), 1, 9, {SliceState.DONE:d},
           count(*), $9::timestamptz, $9::timestamptz, $9::timestamptz, array_agg(d.endpoint_id),
           array_fill(0, array[{Shown.UNREACHABLE:d}]) || count(*)::int
           || array_fill(0, array[{len(Shown) - Shown.UNREACHABLE - 1}])
    from d join parcel p using (slice_id) group by p.slice_id
)
insert into account_update (account_id, update_id, n)
select account_id, $6, count(*) from d group by account_id order by account_id
on conflict (account_id, update_id) do update set n = account_update.n + excluded.n
"""

SOCIAL_SQL = f"""
with r as (
    select id, units from rendering where update_id = $1 and channel = 3 order by locale <> 'en' limit 1
), d as (
    insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, channel, purpose, state,
                          reason)
    select $1, $2, 0, nextval('slice_number') << 20, (select address_id from endpoint where id = $2), 3, 1,
           case when $3::boolean then {DeliveryState.PLANNED:d} else {DeliveryState.UNREACHABLE:d} end,
           case when $3::boolean then 0 else $4::smallint end
    from r
    on conflict do nothing returning slice_id
)
insert into slice (id, update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose, lane,
                   state, n, not_before, expires_at, ended_at, endpoint_ids, n_by_status)
select d.slice_id, $1, $5, $6, r.id, $7, 3, 1, $8::smallint,
       case when $3::boolean then {SliceState.WAITING:d} else {SliceState.DONE:d} end, 1,
       $9::timestamptz, $10::timestamptz, case when not $3::boolean then $9::timestamptz end, array[$2::bigint],
       case when $3::boolean then array[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            else array[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0] end
from d, r
"""

MOVE_CURSOR_SQL = """
update dispatch set cursor = $3 where id = $1 and state = 'planning' and cursor = $2 returning id
"""
PLANNED_SQL = """
update dispatch set state = 'sending', planned_at = $2 where id = $1 and state = 'planning' returning id
"""
PARTITION_SQL = "select tableoid::regclass::text from delivery where update_id = $1 limit 1"
UPDATE_PLANNED_SQL = (
    "update incident_update set state = 'planned' where id = $1 and state = 'approved'"
)
BANNER_EVENT_SQL = """
with fresh as (
    insert into banner_event (incident_id, update_id, at)
    select $1, $2, $3 where exists (select from rendering where update_id = $2 and channel = 4)
      and not exists (select from canary_update where update_id = $2)
    returning id
)
select pg_notify('tidings_banner', id::text) from fresh
"""
