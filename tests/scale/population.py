"""A big installation, made by SQL in a few seconds: what a plan looks like is decided by sizes."""

from typing import Final

from dispatcher.db import Connection

CONTACTS: Final = 10_000
UPDATES: Final = 30
SLICE: Final = 250

_STEPS: Final = (
    "set session_replication_role = replica",
    """insert into component (external_id, name, public_name, created_at, updated_at)
       select 'c' || i, 'C' || i, 'C' || i, now(), now() from generate_series(1, 20) i""",
    f"""insert into account (external_id, name, segment, segment_rule, created_at, updated_at)
        select 'a' || i, 'A' || i, case when i % 10 = 0 then 'enterprise' else 'smb' end, 'x', now(), now()
        from generate_series(1, {CONTACTS} / 5) i""",
    "insert into usage select a.id, 1 + (a.id + k) % 20, '' from account a, generate_series(0, 2) k",
    f"""insert into contact_version (contact_id, name, created_at)
        select i, 'P' || i, now() from generate_series(1, {CONTACTS}) i""",
    f"""insert into contact (account_id, external_id, version_id, created_at, updated_at)
        select 1 + i % ({CONTACTS} / 5), 'x' || i, i, now(), now() from generate_series(1, {CONTACTS}) i""",
    f"""insert into address (channel, value, hash, created_at)
        select 1 + i % 2, 'p' || i || '@example.com', sha256(('p' || i)::bytea), now()
        from generate_series(1, {CONTACTS} * 2) i""",
    "insert into endpoint (channel, address_id, created_at) select channel, id, now() from address order by id",
    """insert into contact_endpoint (contact_id, endpoint_id, channel, address_id, consented, created_at)
       select row_number() over (partition by channel order by id), id, channel, address_id, true, now()
       from endpoint""",
    f"""insert into subscription
        select i, 0, 1, true, false, now() from generate_series(1, {CONTACTS}, 3) i""",
    "insert into suppression select channel, hash, 1, 'x', now() from address where id % 50 = 0",
    """insert into sender (channel, provider, identity, configured, limits, updated_at)
       select i, 'p', 'i', true, '[]', now() from generate_series(1, 4) i""",
    f"""insert into incident (source, external_id, visibility, severity, status, last_seq, last_update_id,
                               started_at)
        select 's', 'i' || i, 'customers', 1, 'identified', 1, update_id_at(now()) + i, now()
        from generate_series(1, {UPDATES}) i""",
    """insert into incident_update (id, incident_id, seq, kind, status, severity, visibility, facts, facts_hash,
                                    mode, state, at, created_by)
       select last_update_id, id, 1, 'update', 'identified', 1, 'customers', '{}', '', 'auto', 'planned', now(),
              'x' from incident""",
    """insert into rendering (update_id, channel, segment, locale, parts, slots, hash)
       select u.id, c, s, 'en', '{}', '[]', '' from incident_update u,
              unnest('{1,2,3,4}'::int[]) c, unnest('{smb,enterprise}'::text[]) s""",
    """insert into dispatch (update_id, incident_id, state, created_at, planned_at)
       select id, incident_id, 'sending', now(), now() from incident_update""",
    f"""insert into slice (id, update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose,
                           lane, state, n, not_before, expires_at, endpoint_ids, n_by_status)
        select nextval('slice_number') << 20 | e.part, d.update_id, d.incident_id, d.id, null, e.channel,
               e.channel, 1, 1, case when d.id % 4 = 0 then 0 else 4 end, {SLICE}, now(),
               now() + interval '1 day', e.ids, array_fill(0, array[14])
        from dispatch d, (
            select channel, id / {SLICE} as part, array_agg(id) as ids from endpoint group by 1, 2) e""",
    """insert into delivery (update_id, endpoint_id, account_id, slice_id, address_id, contact_version, channel,
                             purpose, state)
       select s.update_id, e.id, 1 + e.id % 2000, s.id, e.address_id, 1 + e.id / 2, s.channel, 1, 0
       from slice s join endpoint e on e.id = any(s.endpoint_ids)""",
    """insert into account_update (account_id, update_id, n, standing, sort_name)
       select a.id, u.id, 20, 3, a.external_id from account a, incident_update u""",
    "select ensure_receipt_partition(now()::date)",
    """insert into receipt (day, update_id, endpoint_id, channel, purpose, attempt, fact, matched, at)
       select now()::date, update_id, endpoint_id, channel, purpose, 1, 3, true, now() from delivery
       where endpoint_id % 3 = 0""",
    """insert into receipt_batch (provider, received_at, receipts)
       select 'sendgrid', now(), '[]' from generate_series(1, 2000)""",
    "analyze",
    "set session_replication_role = origin",
)


async def populate(conn: Connection) -> None:
    """Some 600,000 deliveries of thirty updates, with receipts; a quarter of the slices waits."""
    for step in _STEPS:
        await conn.execute(step)
