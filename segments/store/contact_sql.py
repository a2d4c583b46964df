"""The statements that write contacts, in the order they run; each handles a whole chunk.

Rows are written in the order of external ids and hashes, so that two writers do not lock crosswise.
"""

from typing import Final

STAGES: Final = """
    create temp table if not exists stage_contact (
        line int not null, external_id text not null, account text not null, name text not null,
        roles text[], locale text, time_zone text, quiet_given boolean not null, quiet_from time,
        quiet_until time, consent boolean, consent_source text, consent_wording text);
    create temp table if not exists stage_address (
        line int not null, channel smallint not null, value text, hash bytea);
    create temp table if not exists stage_subscription (
        line int not null, component text, channel smallint not null, wanted boolean not null);
    create temp table if not exists stage_person (
        line int primary key, contact_id bigint not null, fresh boolean not null);
    create temp table if not exists stage_link (
        line int not null, contact_id bigint not null, fresh boolean not null,
        channel smallint not null, address_id bigint, endpoint_id bigint, consent boolean);
"""

UNKNOWN_ACCOUNT: Final = """
    select s.line, 'account' as field,
           'names account "' || s.account || '", which is not known; add it first.' as reason
    from stage_contact s
    where not exists (
        select from account a where a.external_id = s.account and a.removed_at is null)
"""

UNKNOWN_COMPONENT: Final = """
    select s.line, 'subscriptions' as field,
           'names component "' || s.component || '", which is not known; add it first.' as reason
    from stage_subscription s
    where s.component is not null and not exists (
        select from component c where c.external_id = s.component and c.removed_at is null)
"""

# A contact and its first version point at each other, hence one statement and ids drawn before.
INSERT: Final = """
    with made as (
        insert into contact (
            account_id, external_id, version_id, roles, locale, time_zone, quiet_from,
            quiet_until, created_at, updated_at)
        select a.id, s.external_id,
               nextval(pg_get_serial_sequence('contact_version', 'id')),
               coalesce(s.roles, '{}'), coalesce(s.locale, ''), coalesce(s.time_zone, ''),
               s.quiet_from, s.quiet_until, $1::timestamptz, $1::timestamptz
        from stage_contact s join account a on a.external_id = s.account
        where not exists (select from contact c where c.external_id = s.external_id)
        order by s.external_id
        on conflict (external_id) do nothing
        returning id, external_id, version_id
    ), named as (
        insert into contact_version (id, contact_id, name, created_at)
        overriding system value
        select made.version_id, made.id, s.name, $1::timestamptz
        from made join stage_contact s on s.external_id = made.external_id
    ) insert into stage_made select id from made
"""

UPDATE: Final = """
    with wanted as (
        select c.id, a.id as account_id, s.name, v.name is distinct from s.name as renamed,
               coalesce(s.roles, c.roles) as roles, coalesce(s.locale, c.locale) as locale,
               coalesce(s.time_zone, c.time_zone) as time_zone,
               case when s.quiet_given then s.quiet_from else c.quiet_from end as quiet_from,
               case when s.quiet_given then s.quiet_until else c.quiet_until end as quiet_until
        from stage_contact s
        join account a on a.external_id = s.account
        join contact c on c.external_id = s.external_id
        join contact_version v on v.id = c.version_id
        where c.id not in (select id from stage_made)
        order by s.external_id
    ), renamed as (
        insert into contact_version (contact_id, name, created_at)
        select id, name, $1::timestamptz from wanted where renamed
        returning id, contact_id
    ), changed as (
        update contact c
        set account_id = w.account_id, version_id = coalesce(r.id, c.version_id),
            roles = w.roles, locale = w.locale, time_zone = w.time_zone,
            quiet_from = w.quiet_from, quiet_until = w.quiet_until, removed_at = null,
            updated_at = $1::timestamptz
        from wanted w left join renamed r on r.contact_id = w.id
        where c.id = w.id
          and (w.renamed
               or (c.account_id, c.roles, c.locale, c.time_zone, c.quiet_from, c.quiet_until,
                   c.removed_at)
                  is distinct from
                  (w.account_id, w.roles, w.locale, w.time_zone, w.quiet_from, w.quiet_until,
                   null))
        returning c.id
    ) insert into stage_touched select id from changed
"""

PERSONS: Final = """
    insert into stage_person
    select s.line, c.id, made.id is not null
    from stage_contact s
    join contact c on c.external_id = s.external_id
    left join stage_made made on made.id = c.id
"""

ADDRESSES: Final = """
    insert into address (channel, value, hash, created_at)
    select distinct on (s.channel, s.hash) s.channel, s.value, s.hash, $1::timestamptz
    from stage_address s
    where s.hash is not null
      and not exists (select from address a where a.channel = s.channel and a.hash = s.hash)
    order by s.channel, s.hash, s.line
    on conflict (channel, hash) do nothing
"""

ENDPOINTS: Final = """
    insert into endpoint (channel, address_id, created_at)
    select distinct a.channel, a.id, $1::timestamptz
    from stage_address s join address a on a.channel = s.channel and a.hash = s.hash
    where not exists (select from endpoint e where e.address_id = a.id)
    order by a.id
    on conflict (address_id) do nothing
"""

# `consent` is what is said anew about texts: the same again is not a new statement.
LINKS: Final = """
    insert into stage_link
    select s.line, p.contact_id, p.fresh, s.channel, a.id, e.id,
           case when s.channel = 2 and c.consent is distinct from ce.consented then c.consent end
    from stage_address s
    join stage_person p on p.line = s.line
    join stage_contact c on c.line = s.line
    left join address a on a.channel = s.channel and a.hash = s.hash
    left join endpoint e on e.address_id = a.id
    left join contact_endpoint ce
        on not p.fresh and ce.contact_id = p.contact_id and ce.endpoint_id = e.id
"""

UNLINK: Final = """
    with gone as (
        update contact_endpoint ce set removed_at = $1::timestamptz
        from stage_link l
        where not l.fresh
          and ce.contact_id = l.contact_id and ce.channel = l.channel and ce.removed_at is null
          and ce.endpoint_id is distinct from l.endpoint_id
        returning ce.contact_id
    ) insert into stage_touched select contact_id from gone
"""

LINK: Final = """
    with linked as (
        insert into contact_endpoint (
            contact_id, endpoint_id, address_id, channel, consented, created_at)
        select contact_id, endpoint_id, address_id, channel, consent, $1::timestamptz
        from stage_link where endpoint_id is not null
        order by contact_id, channel
        on conflict (contact_id, endpoint_id) do update
            set removed_at = null,
                consented = coalesce(excluded.consented, contact_endpoint.consented)
            where contact_endpoint.removed_at is not null or excluded.consented is not null
        returning contact_id
    ) insert into stage_touched select contact_id from linked
"""

CONSENT: Final = """
    insert into consent (contact_id, endpoint_id, channel, granted, source, wording, at)
    select l.contact_id, l.endpoint_id, l.channel, l.consent, s.consent_source, s.consent_wording,
           $1::timestamptz
    from stage_link l join stage_contact s on s.line = l.line
    where l.consent is not null
"""

# What a person chose for themselves stands, and "nothing at all" covers every component.
SUBSCRIBE: Final = """
    with wanted as (
        select p.contact_id, coalesce(c.id, 0) as component_id, s.channel, s.wanted
        from stage_subscription s
        join stage_person p on p.line = s.line
        left join component c on c.external_id = s.component
        where not exists (
            select from subscription o
            where o.contact_id = p.contact_id and o.channel = s.channel and o.chosen
              and (o.component_id = coalesce(c.id, 0) or o.component_id = 0 and not o.wanted))
    ), changed as (
        insert into subscription (contact_id, component_id, channel, wanted, updated_at)
        select contact_id, component_id, channel, wanted, $1::timestamptz
        from wanted order by 1, 3, 2
        on conflict (contact_id, channel, component_id) do update
            set wanted = excluded.wanted, updated_at = excluded.updated_at
            where subscription.wanted <> excluded.wanted
        returning contact_id
    ) insert into stage_touched select contact_id from changed
"""
