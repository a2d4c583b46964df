-- Webhooks: other systems that are told what happens here. disabled_why: who or what disabled it.
-- failing_since: since when it has done nothing but fail.
create table webhook_endpoint (
    id             bigint generated always as identity primary key,
    url            text not null,
    events         text[] not null,
    description    text not null default '',
    created_at     timestamptz not null,
    created_by     text not null,
    disabled_at    timestamptz,
    disabled_why   text not null default '' check (disabled_why in ('', 'person', 'gone', 'failing')),
    failing_since  timestamptz,
    check ((disabled_at is null) = (disabled_why = ''))
);

-- What messages are signed with, by all that have not ended: while it is rotated there are two.
create table webhook_secret (
    id           bigint generated always as identity primary key,
    endpoint_id  bigint not null references webhook_endpoint on delete cascade,
    sealed       bytea not null,
    created_at   timestamptz not null,
    ends_at      timestamptz
);
create index webhook_secret_by_endpoint on webhook_secret (endpoint_id);

-- What happened, written in the transaction in which it did; `data` names things by their numbers.
create table webhook_event (
    id    bigint generated always as identity primary key,
    type  text not null,
    data  jsonb not null,
    at    timestamptz not null
);
create index webhook_event_by_age on webhook_event (at);

-- One event for one endpoint. A worker holds it by `attempt` until lease_until (the database's clock).
-- log: {at, status, ms, error, excerpt} of each attempt.
create table webhook_delivery (
    id           bigint generated always as identity primary key,
    event_id     bigint not null references webhook_event on delete cascade,
    endpoint_id  bigint not null references webhook_endpoint on delete cascade,
    state        text not null default 'waiting'
                 check (state in ('waiting', 'sending', 'delivered', 'failed')),
    attempt      smallint not null default 0,
    due_at       timestamptz not null,
    lease_until  timestamptz,
    ended_at     timestamptz,
    log          jsonb not null default '[]'
);
create index webhook_delivery_open on webhook_delivery (endpoint_id, due_at, id)
    where state in ('waiting', 'sending');
create index webhook_delivery_by_endpoint on webhook_delivery (endpoint_id, id);
create index webhook_delivery_by_event on webhook_delivery (event_id);

-- Dispatches whose failed deliveries somebody wants to hear of, and when to look at their slices again.
create table failure_watch (
    dispatch_id  bigint primary key references dispatch on delete cascade,
    due_at       timestamptz not null
);
create index failure_watch_due on failure_watch (due_at);

-- Of one slice: which failures were told, and what the slice was like when it was looked at.
create table failure_told (
    dispatch_id   bigint not null references failure_watch on delete cascade,
    slice_id      bigint not null,
    mark          bigint not null,
    endpoint_ids  bigint[] not null default '{}',
    primary key (dispatch_id, slice_id)
);
