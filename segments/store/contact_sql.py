"""The statements that write contacts, in the order they run; each handles a whole chunk.

Rows are written in the order of external ids and hashes, so that two writers do not lock crosswise.

What a chunk names is looked up by index, row by row: subqueries that return one value cannot become
joins, and a join would read the whole of a table that may be a hundred times the chunk. What belongs
to new contacts is inserted by statements of its own, which need not ask what was there before.
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
        line int not null, account_id bigint, contact_id bigint not null, fresh boolean not null);
    create temp table if not exists stage_link (
        line int not null, contact_id bigint not null, fresh boolean not null,
        channel smallint not null, address_id bigint, endpoint_id bigint, consent boolean);
"""

# A contact and its first version point at each other, so the contact's id is drawn before both.
RESOLVE: Final = """
    insert into stage_person
    select line, account_id, coalesce(known_id, nextval('contact_id_seq')), known_id is null
    from (
        select s.line,
               (select a.id from account a
                where a.external_id = s.account and a.removed_at is null) as account_id,
               (select c.id from contact c where c.external_id = s.external_id) as known_id
        from stage_contact s
        offset 0
    ) as found
"""

UNKNOWN_ACCOUNT: Final = """
    select s.line, 'account' as field,
           'names account "' || s.account || '", which is not known; add it first.' as reason
    from stage_person p join stage_contact s on s.line = p.line
    where p.account_id is null
"""

UNKNOWN_COMPONENT: Final = """
    select s.line, 'subscriptions' as field,
           'names component "' || s.component || '", which is not known; add it first.' as reason
    from stage_subscription s
    where s.component is not null and not exists (
        select from component c where c.external_id = s.component and c.removed_at is null)
"""

INSERT: Final = """
    with made as (
        insert into contact (
            id, account_id, external_id, version_id, roles, locale, time_zone, quiet_from,
            quiet_until, created_at, updated_at)
        overriding system value
        select p.contact_id, p.account_id, s.external_id, nextval('contact_version_id_seq'),
               coalesce(s.roles, '{}'), coalesce(s.locale, ''), coalesce(s.time_zone, ''),
               s.quiet_from, s.quiet_until, $1::timestamptz, $1::timestamptz
        from stage_contact s join stage_person p on p.line = s.line
        where p.fresh
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

# Somebody else may have made a contact since it was looked up: then it is not new any more.
OVERTAKEN: Final = """
    update stage_person p
    set fresh = false,
        contact_id = (select c.id from contact c where c.external_id = s.external_id)
    from stage_contact s
    where p.fresh and s.line = p.line and p.contact_id not in (select id from stage_made)
"""

ANY_KNOWN: Final = "select exists (select from stage_person where not fresh)"

UPDATE: Final = """
    with wanted as (
        select c.id, p.account_id, s.name, v.name is distinct from s.name as renamed,
               coalesce(s.roles, c.roles) as roles, coalesce(s.locale, c.locale) as locale,
               coalesce(s.time_zone, c.time_zone) as time_zone,
               case when s.quiet_given then s.quiet_from else c.quiet_from end as quiet_from,
               case when s.quiet_given then s.quiet_until else c.quiet_until end as quiet_until
        from stage_contact s
        join stage_person p on p.line = s.line
        cross join lateral (select * from contact c where c.id = p.contact_id offset 0) c
        cross join lateral (
            select name from contact_version v where v.id = c.version_id offset 0) v
        where not p.fresh
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
        where c.id = w.id and c.id = any (array(select id from wanted))
          and (w.renamed
               or (c.account_id, c.roles, c.locale, c.time_zone, c.quiet_from, c.quiet_until,
                   c.removed_at)
                  is distinct from
                  (w.account_id, w.roles, w.locale, w.time_zone, w.quiet_from, w.quiet_until,
                   null))
        returning c.id
    ) insert into stage_touched select id from changed
"""

# An address and its endpoint are made together, always, so that one is never there without the other.
ADDRESSES: Final = """
    with added as (
        insert into address (channel, value, hash, created_at)
        select distinct on (s.channel, s.hash) s.channel, s.value, s.hash, $1::timestamptz
        from stage_address s
        where s.hash is not null
          and (select a.id from address a where a.channel = s.channel and a.hash = s.hash) is null
        order by s.channel, s.hash, s.line
        on conflict (channel, hash) do nothing
        returning id, channel
    ) insert into endpoint (channel, address_id, created_at)
      select channel, id, $1::timestamptz from added
"""

# `consent` is what is said anew about texts: the same again is not a new statement.
LINKS: Final = """
    insert into stage_link
    select f.line, f.contact_id, f.fresh, f.channel, f.address_id, f.endpoint_id,
           case when f.channel = 2 and c.consent is distinct from (
                    select ce.consented from contact_endpoint ce
                    where not f.fresh and ce.contact_id = f.contact_id
                      and ce.endpoint_id = f.endpoint_id)
                then c.consent end
    from (
        select s.line, p.contact_id, p.fresh, s.channel, a.id as address_id,
               (select e.id from endpoint e where e.address_id = a.id) as endpoint_id
        from stage_address s
        join stage_person p on p.line = s.line
        left join lateral (
            select a.id from address a where a.channel = s.channel and a.hash = s.hash offset 0
        ) a on true
        offset 0
    ) f join stage_contact c on c.line = f.line
"""

UNLINK: Final = """
    with gone as (
        update contact_endpoint ce set removed_at = $1::timestamptz
        from stage_link l
        where not l.fresh
          and ce.contact_id = any (array(select contact_id from stage_link where not fresh))
          and ce.contact_id = l.contact_id and ce.channel = l.channel and ce.removed_at is null
          and ce.endpoint_id is distinct from l.endpoint_id
        returning ce.contact_id
    ) insert into stage_touched select contact_id from gone
"""

LINK_NEW: Final = """
    insert into contact_endpoint (
        contact_id, endpoint_id, address_id, channel, consented, created_at)
    select contact_id, endpoint_id, address_id, channel, consent, $1::timestamptz
    from stage_link where fresh and endpoint_id is not null
    order by contact_id, channel
"""

LINK_KNOWN: Final = """
    with linked as (
        insert into contact_endpoint (
            contact_id, endpoint_id, address_id, channel, consented, created_at)
        select contact_id, endpoint_id, address_id, channel, consent, $1::timestamptz
        from stage_link where not fresh and endpoint_id is not null
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

SUBSCRIBE_NEW: Final = """
    insert into subscription (contact_id, component_id, channel, wanted, updated_at)
    select p.contact_id, coalesce(c.id, 0), s.channel, s.wanted, $1::timestamptz
    from stage_subscription s
    join stage_person p on p.line = s.line
    left join component c on c.external_id = s.component
    where p.fresh
    order by 1, 3, 2
"""

# What a person chose for themselves stands, and "nothing at all" covers every component.
SUBSCRIBE_KNOWN: Final = """
    with wanted as (
        select p.contact_id, coalesce(c.id, 0) as component_id, s.channel, s.wanted
        from stage_subscription s
        join stage_person p on p.line = s.line
        left join component c on c.external_id = s.component
        where not p.fresh and (
            select bool_or(o.component_id = coalesce(c.id, 0) or o.component_id = 0 and not o.wanted)
            from subscription o
            where o.contact_id = p.contact_id and o.channel = s.channel and o.chosen
        ) is not true
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
