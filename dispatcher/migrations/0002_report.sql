-- The report over a million deliveries: what needs a pass over them is counted by a job and kept, and
-- the accounts of one update are paged by key. Safe beside the version before, which goes on writing
-- dispatch.curve, curve_at, curve_of and account_update.n_by_status; nobody reads those any more.

-- Looked at last at looked_at. The document was made at made_at, in took_s seconds, of slices that had
-- the mark of_mark, and judged by the first-notice deadline. It holds numbers and ids, no names and no
-- addresses: whoever is erased is erased from it too.
create table dispatch_report (
    dispatch_id  bigint primary key references dispatch,
    looked_at    timestamptz not null,
    made_at      timestamptz,
    took_s       double precision not null default 0,
    of_mark      numeric,
    deadline     timestamptz,
    document     jsonb
);

-- People by where they stand; standing is null until they have been counted once, and so keeps the
-- index away from the fan-out. cells: {channel, status, messages} each. sort_name: the name, in lower
-- case, as it was then.
alter table account_update
    add column standing     smallint,
    add column sort_name    text not null default '',
    add column people       int not null default 0,
    add column notified     int not null default 0,
    add column waiting      int not null default 0,
    add column unconfirmed  int not null default 0,
    add column not_reached  int not null default 0,
    add column cells        int[] not null default '{}';
create index account_update_worst_first on account_update (update_id, standing, sort_name, account_id)
    where standing is not null;

-- A file being made, or made, of all deliveries of a dispatch, or of one account in it. A worker holds it
-- by epoch until lease_until (the database's clock). The walk stands behind (channel, endpoint, purpose):
-- what is in the chunks is complete up to there, so that another worker can go on.
create table export (
    id             bigint generated always as identity primary key,
    dispatch_id    bigint not null references dispatch,
    account_id     bigint references account,
    format         text not null check (format in ('csv', 'xlsx')),
    read_pii       boolean not null,
    state          text not null check (state in ('waiting', 'running', 'done', 'failed')),
    epoch          int not null default 0,
    tries          smallint not null default 0,
    lease_until    timestamptz,
    channel        smallint not null default 0,
    endpoint_id    bigint not null default 0,
    purpose        smallint not null default 0,
    rows           bigint not null default 0,
    bytes          bigint not null default 0,
    chunks         int not null default 0,
    created_by     text not null,
    created_at     timestamptz not null,
    ended_at       timestamptz,
    expires_at     timestamptz not null
);
create index export_unfinished on export (id) where state in ('waiting', 'running');
create index export_by_end on export (expires_at);
-- Whoever asks for what is being made already gets that one.
create unique index export_once on export (dispatch_id, coalesce(account_id, 0), format, read_pii)
    where state in ('waiting', 'running');

create table export_chunk (
    export_id  bigint not null references export on delete cascade,
    no         int not null,
    bytes      bytea storage external not null, -- what compresses is compressed in its own format
    primary key (export_id, no)
);
