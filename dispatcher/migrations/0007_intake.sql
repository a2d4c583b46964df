-- Sources: other systems that tell us of incidents in their own words. `defaults` is what the operator
-- chose, see dispatcher/intake/defaults.py.
create table source (
    id           bigint generated always as identity primary key,
    kind         text not null,
    name         text not null unique,
    defaults     jsonb not null default '{}',
    created_at   timestamptz not null,
    disabled_at  timestamptz
);

-- What proves a source. Sealed where it has to be read again to check a signature, hashed where the
-- sender only shows it. While it is rotated there are two; ends_at ends the older one.
create table source_secret (
    id          bigint generated always as identity primary key,
    source_id   bigint not null references source on delete cascade,
    sealed      bytea,
    hash        bytea,
    created_at  timestamptz not null,
    ends_at     timestamptz,
    check ((sealed is null) <> (hash is null))
);
create index source_secret_by_source on source_secret (source_id);

-- One row per thing that a sender said, by the hash of its own key for it: said again, it gets the same
-- answer. A committed row always has its result.
create table intake_said (
    source_id  bigint not null references source on delete cascade,
    key        bytea not null,
    result     jsonb,
    seen_at    timestamptz not null,
    primary key (source_id, key)
);
create index intake_said_by_age on intake_said (seen_at);

-- The incident that a group of alerts stands for at present: its key comes again for the next one.
create table intake_group (
    source_id    bigint not null references source on delete cascade,
    key          bytea not null,
    external_id  text not null,
    opened_at    timestamptz not null,
    ended_at     timestamptz,
    primary key (source_id, key)
);

-- The inspector: what came in lately and what it became. `shown` is masked; `sealed` is the request as it
-- came, null for one that nobody had proved.
create table intake_event (
    id         bigint generated always as identity primary key,
    source_id  bigint not null references source on delete cascade,
    at         timestamptz not null,
    outcome    text not null check (outcome in ('taken', 'repeated', 'ignored', 'malformed', 'refused',
                                                'forged', 'disabled')),
    detail     text not null default '',
    result     jsonb,
    shown      text not null default '',
    sealed     bytea,
    replay_of  bigint
);
create index intake_event_by_source on intake_event (source_id, id);
create index intake_event_by_age on intake_event (at);
