"""How the database is asked what stands still: by partial indexes and small tables, never by deliveries."""

from typing import Final

from dispatcher.rules.states import Shown, SliceState
from dispatcher.stages.track import MAX_TRIES

_STUCK_LIMIT: Final = 1000

LIMITS_SQL: Final = "set local statement_timeout = '5s'"
# Heartbeats, like leases, are told by the database's clock.
WORKERS_SQL: Final = """
select count(*) from worker where seen_at > clock_timestamp() - make_interval(secs => $1)
"""
UNLINKED_SQL: Final = """
select count(*) from worker
where seen_at > clock_timestamp() - make_interval(secs => $1) and linked < consumers
"""
# What is due is what has no reason to wait but the limits of its sender; a person may hold up a dispatch, or
# a channel.
QUEUES_SQL: Final = f"""
with moving as (
    select channel, state, n, not_before, dispatch_id from slice where state = {SliceState.WAITING:d}
    union all
    select channel, state, n, not_before, dispatch_id from slice where state in (1, 2, 3)
)
select m.channel, m.state, count(*) as slices, sum(m.n)::bigint as deliveries,
       min(m.not_before) filter (where m.not_before <= $1 and d.paused_at is null
                                 and d.state <> 'cancelled' and p.channel is null) as oldest
from moving m join dispatch d on d.id = m.dispatch_id
left join channel_pause p on p.channel = m.channel and coalesce(p.until > $1, true) group by 1, 2
"""
# A lease is compared with the database's clock, all else with ours. $2: how long is too long; $3: the
# same for doubt, which has its window.
STUCK_SQL: Final = f"""
select (select count(*) from slice where state = {SliceState.HELD:d}) as held,
       count(*) filter (where state = {SliceState.RELEASED:d}
                        and start_at < $1::timestamptz - make_interval(secs => $2)) as idle,
       count(*) filter (where state = {SliceState.IN_FLIGHT:d}
                        and lease_until < clock_timestamp() - make_interval(secs => $2)) as lost,
       count(*) filter (where state = {SliceState.AMBIGUOUS:d}
                        and ambiguous_at < $1::timestamptz - make_interval(secs => $3)) as doubtful
from slice where state in (1, 2, 3)
"""
# How far updates on their way have come, and since when the first of each step is on its way.
STEPS_SQL: Final = """
select u.state as step, min(d.created_at) as since
from dispatch d join incident_update u on u.id = d.update_id
where d.state = 'planning' and d.paused_at is null group by 1
"""
SMALL_SQL: Final = f"""
select (select received_at from receipt_batch where tries < {MAX_TRIES} order by id limit 1) as unread,
       (select count(*) from (select from receipt_batch where tries >= {MAX_TRIES}
                              limit {_STUCK_LIMIT}) t) as stuck
"""
SENDERS_SQL: Final = """
select s.channel, s.limits, s.paused_until, s.paused_why, s.trips, b.seconds, b.next_free, b.cells, b.cell_no
from sender s left join bucket b on b.sender_id = s.id where s.configured
"""
PAUSES_SQL: Final = "select channel, until from channel_pause where coalesce(until > $1, true)"
# Mails and texts that were taken after the last receipt of their channel was applied, $2 seconds ago or
# more. What nobody has spoken of for a day is no news.
UNHEARD_SQL: Final = f"""
select c.channel, min(s.ended_at) as since
from (select channel, max(heard_at) as heard_at from sender where channel in (1, 2) group by 1) c
join slice s on s.channel = c.channel and s.state = {SliceState.DONE:d} and s.intent_at is not null
     and s.ended_at > greatest(c.heard_at, $1::timestamptz - interval '1 day')
     and s.ended_at < $1::timestamptz - make_interval(secs => $2)
     and s.n_by_status[{Shown.ACCEPTED + 1}] > 0
group by 1
"""
# What holds a snapshot or has a number of its own keeps rows that are dead from being cleared away.
TRANSACTION_SQL: Final = """
select coalesce(extract(epoch from clock_timestamp() - min(began)), 0)::float8 from (
    select xact_start as began from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
      and (backend_xid is not null or backend_xmin is not null) and backend_type = 'client backend'
    union all
    select prepared from pg_prepared_xacts where database = current_database()) t
"""
# What sources are being refused; and how many have been silent for longer than they may.
REFUSED_SQL: Final = """
select kind, sum(n)::bigint as n from source_trouble
where last_at > $1::timestamptz - interval '1 hour' group by kind order by kind
"""
SILENT_SQL: Final = """
select count(*) from source s
where s.disabled_at is null
  and greatest(s.created_at, s.last_event_at, (
          select e.at from intake_event e
          where e.source_id = s.id and e.outcome <> 'forged' and e.replay_of is null
          order by e.id desc limit 1)) < $1::timestamptz - (s.defaults ->> 'silent_after')::interval
"""
# Endpoints that are told nothing any more though no person said so; since when another one has done
# nothing but fail; and since when anything is due to one that is told, and has not asked us to wait.
WEBHOOKS_SQL: Final = """
select count(*) filter (where disabled_why in ('gone', 'failing')) as disabled,
       min(failing_since) filter (where disabled_at is null) as failing,
       (select min(greatest(d.due_at, s.not_before)) from webhook_endpoint p
        left join webhook_strain s on s.endpoint_id = p.id cross join lateral (
            select due_at from webhook_delivery where endpoint_id = p.id and state = 'waiting'
            order by due_at limit 1) d
        where p.disabled_at is null) as due
from webhook_endpoint
"""
CANARIES_SQL: Final = """
select channel, every_s, extract(epoch from clock_timestamp() - coalesce(heard_at, since))::float8 as age_s
from canary
"""
