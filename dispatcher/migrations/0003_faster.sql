-- A delivery is written twice: when planned and when there is a receipt of it. Half a page left free lets
-- the second version stand beside the first, and the index is left alone. Pages that are full stay so.
do $$
declare part regclass;
begin
    for part in select inhrelid from pg_inherits where inhparent = 'delivery'::regclass loop
        execute format('alter table %s set (fillfactor = 50)', part);
    end loop;
end $$;

create or replace function ensure_delivery_partition(at timestamptz) returns void language plpgsql as $$
declare
    month timestamptz := date_trunc('month', at at time zone 'UTC') at time zone 'UTC';
    following timestamptz := (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    part text := 'delivery_' || to_char(month at time zone 'UTC', 'YYYY_MM');
begin
    if to_regclass(part) is not null then return; end if;
    perform pg_advisory_xact_lock(7202601, hashtext(part));
    -- Read the catalogue itself: to_regclass may answer from before the wait for the lock.
    if exists (select from pg_class where relname = part and pg_table_is_visible(oid)) then return; end if;
    execute format('create table %I (like delivery including all) with (fillfactor = 50)', part);
    execute format('alter table delivery attach partition %I for values from (%s) to (%s)',
                   part, update_id_at(month), update_id_at(following));
end $$;

-- Accounts are never deleted, and looking each up again cost the fan-out a twentieth of its time.
alter table account_update drop constraint account_update_account_id_fkey;

-- Nobody waits for what is held, so a person is told of it; there is seldom any.
create index slice_held on slice (id) where state = 5;

-- `reached` is no longer written nor read: who was told of an incident is seen in its deliveries, by key.
-- It stays for workers of the version before.

-- A receipt that waits is a short list; see dispatcher/rules/receipts.py. Its batch is gone in seconds, so
-- it is not worth compressing.
alter table receipt_batch alter column receipts set storage external;
update receipt_batch set receipts = (
    select jsonb_agg(jsonb_build_array(
               r->'key', r->'fact', extract(epoch from (r->>'at')::timestamptz), coalesce(r->>'ref', ''),
               coalesce(r->>'detail', ''), coalesce((r->>'reason')::int, 0),
               coalesce((r->>'suppress')::boolean, false)::int
               + 2 * coalesce((r->>'lift')::boolean, false)::int))
    from jsonb_array_elements(receipts) r)
where jsonb_array_length(receipts) > 0 and jsonb_typeof(receipts->0) = 'object';
