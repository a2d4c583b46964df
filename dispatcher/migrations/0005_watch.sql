-- Nothing stops silently: what a stop is known by, and the messages that show that nothing has stopped.

-- How many consumers a worker runs, and how many of them have their link to the database. Workers of the
-- version before write neither.
alter table worker
    add column consumers smallint not null default 0,
    add column linked smallint not null default 0;

-- When a receipt of the channel was last applied; written every few seconds at most.
alter table sender add column heard_at timestamptz;

-- What was sent since then and is still without a word.
create index slice_sent on slice (channel, ended_at) where state = 4 and intent_at is not null;

-- What stands still, so that all processes together say once that it began and once that it ended; and
-- when the next of them may look. Told by the database's clock.
create table stop (
    name   text primary key,
    since  timestamptz not null
);
create table lookout (
    one    boolean primary key default true check (one),
    until  timestamptz not null
);

-- Channels with a canary. heard_at: when the newest one that was delivered had been accepted. Told by the
-- database's clock. sent_to: a keyed hash of the address, so that another one is noticed.
create table canary (
    channel   smallint primary key,
    every_s   double precision not null,
    sent_to   bytea not null,
    since     timestamptz not null,
    heard_at  timestamptz
);
create table canary_update (
    update_id    bigint primary key,
    incident_id  bigint not null references incident,
    at           timestamptz not null
);
create index canary_update_by_age on canary_update (at);

-- In nobody's lists.
alter table incident add column canary boolean not null default false;

-- Canaries are removed after a day, their words after their slices; to look for slices that still want the
-- words would read them all.
alter table slice drop constraint slice_rendering_id_fkey;
