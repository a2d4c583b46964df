"""The fan-out: one statement a range turns audience rows into deliveries and waiting slices."""

from dispatcher.rules.states import DeliveryState, Shown, SliceState
from segments.audience import AUDIENCE_PARAMS, AUDIENCE_SQL

_P = AUDIENCE_PARAMS

CLAIM_SQL = """
select d.id as dispatch_id, d.cursor, d.wave, d.created_at as decided_at, u.*
from dispatch d join incident_update u on u.id = d.update_id
where d.update_id = $1 and d.state = 'planning' and u.state = 'approved'
"""
# One planner at a time. Not the dispatch's row lock: every intent wants to look at that row, and a
# range takes a while; the cursor is moved only where nobody cancelled meanwhile.
ALONE_SQL = "select pg_try_advisory_xact_lock(7202603, hashint8($1))"
LAST_CONTACT_SQL = "select coalesce(max(id), 0) from contact"
SENDERS_SQL = """
select distinct on (channel) id, channel, configured, limits from sender
order by channel, configured desc, updated_at desc, id desc
"""

# Two rows for one endpoint collapse to the first; the second contact is then recorded as covered by
# the shared inbox. Slices are made from the rows that were really inserted, so they hold no strangers.
FAN_OUT_SQL = f"""
with a as materialized ({AUDIENCE_SQL}),
way as materialized (
    select * from unnest(${_P + 1}::smallint[], ${_P + 2}::smallint[], ${_P + 3}::boolean[],
                         ${_P + 4}::int[], ${_P + 5}::timestamptz[])
                  as w(channel, sender_id, configured, size, expires_at)
), v as materialized (
    select a.*, coalesce(r.id, 0) as rendering_id, coalesce(r.units, 1) as units,
           w.sender_id, w.size, w.expires_at,
           (case when a.reason <> 0 then a.reason
                 when not w.configured then ${_P + 6}::smallint
                 when r.id is null then ${_P + 7}::smallint
                 else 0 end)::smallint as why
    from a
    join way w on w.channel = a.channel
    left join rendering r on r.update_id = ${_P + 8} and r.channel = a.channel and r.segment = a.segment
         and r.account_id is null
         and r.locale = case when a.locale = any(${_P + 9}::text[]) then a.locale else 'en' end
), parted as materialized (
    select v.*, (row_number() over (partition by rendering_id, channel, why = 0, not_before
                                    order by endpoint_id) - 1)
                / case when why = 0 then size else 1000000 end as part
    from v
), placed as materialized (
    -- A scalar subquery is evaluated once; the range has one block of ids.
    select p.*, (select nextval('slice_number')) << 20 | dense_rank() over (
               order by rendering_id, channel, why = 0, not_before, part) as slice_id
    from parted p
), d as (
    insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version,
                          sent_at, channel, purpose, state, reason)
    select ${_P + 8}, endpoint_id, account_id, slice_id, address_id, contact_version,
           case when why = 0 and channel = 4 then $3::timestamptz end, channel, 1,
           case when why = 0 then case when channel = 4 then {DeliveryState.ACCEPTED:d}
                                       else {DeliveryState.PLANNED:d} end
                when why in (2, 3) then {DeliveryState.SUPPRESSED:d}
                else {DeliveryState.UNREACHABLE:d} end, why
    from placed
    on conflict do nothing
    returning slice_id, endpoint_id, contact_version, account_id, state, channel
), parcel as materialized (
    select slice_id, min(rendering_id) as rendering_id, min(channel) as channel, min(sender_id) as sender_id,
           min(units) as units, min(expires_at) as expires_at, min(not_before) as not_before,
           bool_and(why = 0) and min(channel) <> 4 as waits
    from placed group by slice_id
), full_parcel as materialized (
    select slice_id, count(*) as n, array_agg(endpoint_id order by endpoint_id) as endpoint_ids,
           array[count(*) filter (where state = {DeliveryState.PLANNED:d}), 0,
                 count(*) filter (where state = {DeliveryState.ACCEPTED:d}), 0, 0, 0, 0, 0, 0,
                 count(*) filter (where state = {DeliveryState.SUPPRESSED:d}),
                 count(*) filter (where state = {DeliveryState.UNREACHABLE:d}), 0, 0, 0]::int[] as n_by_status
    from d group by slice_id
), s as (
    insert into slice (id, update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose,
                       lane, state, units, n, not_before, expires_at, ended_at, endpoint_ids, n_by_status)
    select slice_id, ${_P + 8}, ${_P + 10}, ${_P + 11}, nullif(c.rendering_id, 0), c.sender_id,
           c.channel, 1, ${_P + 12}::smallint,
           case when c.waits then {SliceState.WAITING:d} else {SliceState.DONE:d} end,
           c.units, f.n, c.not_before, c.expires_at, case when not c.waits then $3::timestamptz end,
           f.endpoint_ids, f.n_by_status
    from full_parcel f join parcel c using (slice_id)
    returning state, sender_id
), au as (
    insert into account_update (account_id, update_id, n)
    select account_id, ${_P + 8}, count(*) from d group by account_id order by account_id
    on conflict (account_id, update_id) do update set n = account_update.n + excluded.n
), covered as (
    -- A join would be planned for one row each, that is as nested loops; NOT IN is hashed.
    select contact_id, account_id, contact_version, channel, rendering_id
    from placed
    where endpoint_id > 0 and (channel, endpoint_id, contact_version) not in (
        select channel, endpoint_id, contact_version from d)
)
select (select count(*) from d) as planned,
       (select array_agg(distinct sender_id) from s where state = {SliceState.WAITING:d}) as senders,
       (select array_agg(c) from covered c) as covered
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
update dispatch set state = 'sending', planned_at = $2 where id = $1 and state = 'planning'
"""
UPDATE_PLANNED_SQL = (
    "update incident_update set state = 'planned' where id = $1 and state = 'approved'"
)
BANNER_EVENT_SQL = """
with fresh as (
    insert into banner_event (incident_id, update_id, at)
    select $1, $2, $3 where exists (select from rendering where update_id = $2 and channel = 4)
    returning id
)
select pg_notify('tidings_banner', id::text) from fresh
"""
