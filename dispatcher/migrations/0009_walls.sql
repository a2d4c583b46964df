-- The second wall before account managers: whatever a statement forgets, a role of its own reads only rows
-- that concern own accounts. The first is in the statements. See docs/walls.md.

-- Whose accounts, contacts, addresses and inboxes: those of the person whom `tidings.user` names. They look
-- with the owner's eyes, as the role that asks sees only what they let it.
create or replace function own_accounts() returns setof bigint
    language sql stable security definer rows 20 as $$
    select a.id from users u join account a on lower(a.manager_email) = u.email and a.manager_email <> ''
    where u.id = nullif(current_setting('tidings.user', true), '')::bigint and u.disabled_at is null
    union
    select o.account_id from users u join user_account o on o.user_id = u.id
    where u.id = nullif(current_setting('tidings.user', true), '')::bigint and u.disabled_at is null
$$;
create function own_contacts() returns setof bigint
    language sql stable security definer rows 200 as $$
    select id from contact where account_id = any(array(select own_accounts()))
$$;
create function own_addresses() returns setof bigint
    language sql stable security definer rows 400 as $$
    select address_id from contact_endpoint where contact_id = any(array(select own_contacts()))
$$;
-- What stands for a contact without an endpoint is its negated id.
create function own_endpoints() returns setof bigint
    language sql stable security definer rows 400 as $$
    select endpoint_id from contact_endpoint where contact_id = any(array(select own_contacts()))
    union all select -own_contacts()
$$;
-- Whoever may call them must not choose what their names mean, and nobody else needs them.
do $$
declare
    name text;
begin
    foreach name in array array['own_accounts()', 'own_contacts()', 'own_addresses()', 'own_endpoints()'] loop
        execute format('alter function %s set search_path = %I, pg_temp', name, current_schema());
        execute format('revoke all on function %s from public', name);
    end loop;
end $$;

-- Tables of customers and of people. Their owner, as which the product works, is not bound; whom no policy
-- below lets in sees nothing, whatever is granted.
do $$
declare
    name text;
begin
    foreach name in array array[
        'account', 'contact', 'contact_version', 'contact_endpoint', 'endpoint', 'address', 'usage', 'subscription',
        'consent', 'suppression', 'incident', 'incident_update', 'rendering', 'dispatch', 'dispatch_report', 'slice',
        'delivery', 'receipt', 'receipt_batch', 'parked_receipt', 'reached', 'account_update', 'export',
        'export_chunk', 'banner_event', 'intake_event', 'intake_said', 'intake_group', 'source_secret', 'api_key',
        'idempotency', 'audit', 'users', 'user_account', 'user_link'] loop
        execute format('alter table %I enable row level security', name);
    end loop;
end $$;

-- A set is asked for once per statement and kept as a hash, whatever it is compared with.
create policy own on account using (id in (select own_accounts()));
create policy own on contact using (account_id in (select own_accounts()));
create policy own on contact_version using (contact_id in (select own_contacts()));
create policy own on contact_endpoint using (contact_id in (select own_contacts()));
create policy own on address using (id in (select own_addresses()));
create policy own on account_update using (account_id in (select own_accounts()));
create policy own on export using (account_id in (select own_accounts()));
create policy own on export_chunk using (export_id in (select id from export));
-- A message to an inbox that somebody of theirs shares is theirs too: it tells them.
create policy own on delivery
    using (account_id in (select own_accounts()) or endpoint_id in (select own_endpoints()));
create policy own on receipt using (endpoint_id in (select own_endpoints()));
-- What customers in general may know, and whatever own accounts were told of.
create policy own on incident_update using (state not in ('draft', 'cancelled') and (
    visibility in ('public', 'customers')
    or exists (select from account_update t
               where t.update_id = incident_update.id and t.account_id = any(array(select own_accounts())))));
-- One of which there are drafts only is not known outside: the policy of its updates leaves none of them.
create policy own on incident using (not canary and exists (
    select from incident_update u
    where u.incident_id = incident.id and (
        incident.visibility in ('public', 'customers')
        or exists (select from account_update t
                   where t.update_id = u.id and t.account_id = any(array(select own_accounts()))))));
-- The words of a segment may be for colleagues alone, and hold what was noted for them.
create policy own on rendering using (
    exists (select from incident_update u where u.id = rendering.update_id)
    and (account_id is null or account_id in (select own_accounts()))
    and (segment = '' or segment in (select a.segment from account a
                                     where a.id = any(array(select own_accounts())))));
create policy own on dispatch using (exists (
    select from account_update t
    where t.update_id = dispatch.update_id and t.account_id = any(array(select own_accounts()))));
create policy own on slice using (exists (
    select from account_update t
    where t.update_id = slice.update_id and t.account_id = any(array(select own_accounts()))));
create policy own on dispatch_report using (exists (select from dispatch d where d.id = dispatch_report.dispatch_id));

-- What the role may read, and of what only some columns: no counts of all customers, no notes about them.
create function walled_reads() returns table (place text, names text[]) language sql immutable as $$
    values ('account', null::text[]), ('contact', null), ('contact_version', null), ('contact_endpoint', null),
           ('address', null), ('account_update', null), ('delivery', null), ('receipt', null), ('export', null),
           ('export_chunk', null), ('rendering', null), ('component', null), ('sender', null), ('bucket', null),
           ('incident', '{id,source,external_id,subject_title,visibility,severity,status,lead,component_ids,
                          started_at,resolved_at,canary}'),
           ('incident_update', '{id,incident_id,seq,kind,status,severity,visibility,facts,mode,state,state_detail,
                                 created_by,at}'),
           ('dispatch', '{id,update_id,incident_id,wave,rule,state,paused_at,created_at,planned_at,completed_at}'),
           ('dispatch_report', '{dispatch_id,made_at}'),
           ('slice', '{id,update_id,incident_id,dispatch_id,rendering_id,channel,purpose,attempt,state,
                       maybe_duplicate,ended_at}')
$$;

-- One role per owner: roles belong to the whole server, and whoever shares an owner reads the same anyway.
create function walled_role() returns text language sql stable as $$
    select 'tidings_walled_' || md5(pg_get_userbyid(relowner)::text) from pg_class where oid = 'account'::regclass
$$;

-- What the wall lacks, in words; empty where it stands.
create function wall_gap() returns text language plpgsql stable as $$
declare
    role text := walled_role();
    known pg_roles;
begin
    select * into known from pg_roles where rolname = role;
    if known.oid is null then
        return 'the role is missing';
    elsif known.rolsuper or known.rolbypassrls or known.rolcanlogin
          or exists (select from pg_auth_members where member = known.oid) then
        return 'the role may do more than it should';
    elsif not pg_has_role(current_user, known.oid, 'SET') then
        return current_user || ' may not act as the role';
    elsif exists (select from walled_reads() r
                  join pg_attribute a on a.attrelid = r.place::regclass and a.attnum > 0 and not a.attisdropped
                                     and (r.names is null or a.attname = any(r.names))
                  where not has_column_privilege(known.oid, a.attrelid, a.attnum, 'select'))
          or not has_schema_privilege(known.oid, current_schema(), 'usage')
          or not has_function_privilege(known.oid, 'own_accounts()', 'execute') then
        return 'the role may not read what it should';
    end if;
    return '';
end $$;

-- Make the role and give it its rights, as far as the server lets us; returns the gap that is left.
-- `tidings migrate` calls it every time, so a refusal is mended by whoever may, and then by that.
create function raise_wall() returns text language plpgsql as $$
declare
    role text := walled_role();
    what record;
begin
    if wall_gap() = '' then return ''; end if;
    begin
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I nologin noinherit', role);
        end if;
    exception
        when duplicate_object or unique_violation then null; -- another installation of this owner's was quicker
        when insufficient_privilege then return wall_gap();
    end;
    begin
        if not pg_has_role(current_user, role, 'SET') then
            execute format('grant %I to current_user with set true, inherit false', role);
        end if;
    exception
        when unique_violation then null;
        when insufficient_privilege then return wall_gap();
    end;
    begin
        execute format('grant usage on schema %I to %I', current_schema(), role);
        for what in select * from walled_reads() loop
            execute format('grant select %s on %I to %I',
                           coalesce('(' || array_to_string(what.names, ',') || ')', ''), what.place, role);
        end loop;
        execute format('grant execute on function own_accounts(), own_contacts(), own_addresses(),
                        own_endpoints() to %I', role);
    exception
        when insufficient_privilege then return wall_gap();
    end;
    return wall_gap();
end $$;

-- For the rest of the transaction, see only what concerns the accounts of this person.
create function step_behind_wall(person bigint) returns void language plpgsql as $$
begin
    perform set_config('tidings.user', person::text, true);
    perform set_config('role', walled_role(), true);
    -- Not for whom nothing is filtered: a superuser, an owner, or who was told to bypass it.
    if not row_security_active('account') then
        raise insufficient_privilege using message = 'the role may do more than it should';
    end if;
end $$;
