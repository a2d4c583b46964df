-- When a source was last heard of, where its events are gone already; see intake_event for the newest.
alter table source add column last_event_at timestamptz;

-- What a source was refused, one row per kind while it goes on: a flood costs no more than a drop.
-- `n` came since `since`; `untold` of all since somebody was last told, at `told_at`.
create table source_trouble (
    source_id  bigint not null references source on delete cascade,
    kind       text not null check (kind in ('forged', 'malformed', 'refused', 'throttled')),
    since      timestamptz not null,
    last_at    timestamptz not null,
    n          bigint not null,
    detail     text not null default '',
    told_at    timestamptz,
    untold     bigint not null,
    primary key (source_id, kind)
);
alter table source_trouble enable row level security;
