-- The whole first schema. Times are timestamptz written by the caller ($now); only leases use the
-- database clock. Channels, states and reasons are smallints named in Python enums (see docs).

-- ── segments: who is affected ────────────────────────────────────────────────────────────────

create table account (
    id             bigint generated always as identity primary key,
    external_id    text not null unique,
    name           text not null,
    attributes     jsonb not null default '{}',
    segment        text not null,
    segment_rule   text not null,
    region         text not null default '',
    locale         text not null default 'en',
    time_zone      text not null default 'UTC',
    manager_name   text not null default '',
    manager_email  text not null default '',
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    removed_at     timestamptz
);
create index account_by_segment on account (segment, id) where removed_at is null;

create table contact (
    id           bigint generated always as identity primary key,
    account_id   bigint not null references account,
    external_id  text unique,
    version_id   bigint not null,
    roles        text[] not null default '{}',
    locale       text not null default '',
    time_zone    text not null default '',
    quiet_from   time,
    quiet_until  time,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    removed_at   timestamptz,
    erased_at    timestamptz,
    check ((quiet_from is null) = (quiet_until is null))
);
create index contact_by_account on contact (account_id, id);

-- A name as it was when something was sent: immutable but for erasure.
create table contact_version (
    id          bigint generated always as identity primary key,
    contact_id  bigint not null references contact,
    name        text,
    created_at  timestamptz not null
);
create index contact_version_by_contact on contact_version (contact_id);
alter table contact add foreign key (version_id) references contact_version
    deferrable initially deferred;

-- Immutable but for erasure, which blanks value and hash.
create table address (
    id          bigint generated always as identity primary key,
    channel     smallint not null,
    value       text,
    hash        bytea,
    created_at  timestamptz not null,
    erased_at   timestamptz,
    unique (channel, hash)
);

create table endpoint (
    id          bigint generated always as identity primary key,
    channel     smallint not null,
    address_id  bigint not null unique references address,
    created_at  timestamptz not null
);

-- At most one live link per contact and channel. address_id repeats the endpoint's own (both are
-- immutable), so that resolving an audience needs one join less.
create table contact_endpoint (
    contact_id   bigint not null references contact,
    endpoint_id  bigint not null references endpoint,
    address_id   bigint not null,
    channel      smallint not null,
    consented    boolean,
    created_at   timestamptz not null,
    removed_at   timestamptz,
    primary key (contact_id, endpoint_id)
);
create unique index contact_endpoint_live on contact_endpoint (contact_id, channel)
    where removed_at is null;
create index contact_endpoint_by_endpoint on contact_endpoint (endpoint_id, contact_id)
    where removed_at is null;

create table component (
    id           bigint generated always as identity primary key,
    external_id  text not null unique,
    name         text not null,
    public_name  text not null,
    description  text not null default '',
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    removed_at   timestamptz
);

-- region '' means wherever the component runs.
create table usage (
    account_id    bigint not null references account,
    component_id  bigint not null references component,
    region        text not null default '',
    primary key (component_id, account_id, region)
);
create index usage_by_account on usage (account_id, component_id, region);

-- component_id 0 means every component; the most specific row decides. chosen: by the person, which
-- no later record of theirs overrides.
create table subscription (
    contact_id    bigint not null references contact,
    component_id  bigint not null default 0,
    channel       smallint not null,
    wanted        boolean not null,
    chosen        boolean not null default false,
    updated_at    timestamptz not null,
    primary key (contact_id, channel, component_id)
);

-- Append-only; contact_endpoint.consented holds the latest.
create table consent (
    id           bigint generated always as identity primary key,
    contact_id   bigint not null references contact,
    endpoint_id  bigint not null references endpoint,
    channel      smallint not null,
    granted      boolean not null,
    source       text not null,
    wording      text not null default '',
    at           timestamptz not null
);
create index consent_by_contact on consent (contact_id, id);

-- The keyed hash outlives the address, so that a re-import stays suppressed.
create table suppression (
    channel       smallint not null,
    address_hash  bytea not null,
    reason        smallint not null,
    source        text not null,
    at            timestamptz not null,
    primary key (address_hash, channel)
);

-- The zone, or UTC where PostgreSQL does not know it: records are checked against the zones of Python.
create function known_zone(zone text) returns text language plpgsql stable as $$
begin
    perform now() at time zone zone;
    return zone;
exception when invalid_parameter_value then
    return 'UTC';
end $$;

-- What an installation remembers about itself, e.g. which segment rules its accounts follow.
create table setting (
    key    text primary key,
    value  text not null
);

-- ── incidents, updates, words ────────────────────────────────────────────────────────────────

create table incident (
    id              bigint generated always as identity primary key,
    source          text not null,
    external_id     text not null,
    subject_title   text not null default '',
    visibility      text not null check (visibility in ('public', 'customers', 'accounts', 'internal')),
    severity        smallint not null,
    status          text not null,
    lead            text not null default '',
    component_ids   bigint[] not null default '{}',
    last_seq        int not null default 0,
    last_update_id  bigint,
    started_at      timestamptz not null,
    resolved_at     timestamptz,
    unique (source, external_id)
);
create index incident_recent on incident (id desc) include (status);

create sequence update_number;

-- Time-ordered ids: milliseconds since 2024 shifted left by 20, so that deliveries partition by month.
create function update_id_at(at timestamptz) returns bigint
    language sql immutable parallel safe
    return (floor(extract(epoch from at) * 1000)::bigint - 1704067200000) << 20;

-- Append-only but for `state`.
create table incident_update (
    id             bigint primary key,
    incident_id    bigint not null references incident,
    seq            int not null,
    kind           text not null,
    status         text not null,
    severity       smallint not null,
    visibility     text not null,
    facts          jsonb not null,
    facts_hash     text not null,
    internal       jsonb not null default '{}',
    note           text not null default '',
    audience       jsonb not null default '{}',
    component_ids  bigint[] not null default '{}',
    mode           text not null check (mode in ('auto', 'draft', 'dry_run')),
    state          text not null check (state in ('draft', 'accepted', 'composed', 'approved', 'planned',
                                                  'failed', 'cancelled')),
    state_detail   text not null default '',
    created_by     text not null,
    at             timestamptz not null,
    unique (incident_id, seq)
);
create index incident_update_unfinished on incident_update (id)
    where state in ('accepted', 'composed', 'approved');

-- segment '' is the one public voice; account_id is set where an account has wording of its own.
create table rendering (
    id             bigint generated always as identity primary key,
    update_id      bigint not null references incident_update,
    segment        text not null,
    channel        smallint not null,
    locale         text not null,
    account_id     bigint references account,
    parts          jsonb not null,
    slots          jsonb not null,
    hash           text not null,
    units          smallint not null default 1,
    unique nulls not distinct (update_id, channel, segment, locale, account_id)
);

-- ── pacing ───────────────────────────────────────────────────────────────────────────────────

create table sender (
    id            smallint generated always as identity primary key,
    channel       smallint not null,
    provider      text not null,
    identity      text not null,
    configured    boolean not null,
    limits        jsonb not null,
    paused_until  timestamptz,
    paused_why    text not null default '',
    floor_credit  bigint not null default 0,
    updated_at    timestamptz not null,
    unique (channel, provider, identity)
);

-- One row per limit window; seconds since the epoch, see channels/pacing.py.
create table bucket (
    sender_id  smallint not null references sender,
    seconds    int not null,
    next_free  double precision not null default 0,
    cells      bigint[] not null default '{}',
    cell_no    bigint not null default 0,
    primary key (sender_id, seconds)
) with (fillfactor = 50);

-- ── dispatch: one fan-out wave, its slices, their deliveries ─────────────────────────────────

-- curve and account_update are made by the report's job: looked at last at curve_at, and of slices that
-- had the mark curve_of (see the report's rollup).
create table dispatch (
    id             bigint generated always as identity primary key,
    update_id      bigint not null references incident_update,
    incident_id    bigint not null references incident,
    wave           smallint not null default 1,
    rule           text not null default '',
    state          text not null check (state in ('planning', 'sending', 'completed', 'cancelled')),
    paused_at      timestamptz,
    cursor         bigint not null default 0,
    curve          jsonb,
    curve_at       timestamptz,
    curve_of       numeric,
    created_at     timestamptz not null,
    planned_at     timestamptz,
    completed_at   timestamptz,
    unique (update_id, wave)
);
create index dispatch_unfinished on dispatch (id) where state in ('planning', 'sending');
create index dispatch_by_incident on dispatch (incident_id, id);

-- One number is a block of 2^20 slice ids, so that a fan-out can count within its own.
create sequence slice_number;

-- state: 0 waiting, 1 released, 2 in flight, 3 ambiguous, 4 done, 5 held (quarantined).
-- n_by_status counts its deliveries by shown status, index = status code + 1.
-- n_merges moves whenever receipts are merged into its deliveries: a roll-up made before is behind.
create table slice (
    id               bigint primary key default nextval('slice_number') << 20,
    update_id        bigint not null,
    incident_id      bigint not null,
    dispatch_id      bigint not null references dispatch,
    rendering_id     bigint references rendering,
    sender_id        smallint references sender,
    channel          smallint not null,
    purpose          smallint not null,
    lane             smallint not null,
    attempt          smallint not null default 1,
    state            smallint not null,
    epoch            int not null default 0,
    reclaims         smallint not null default 0,
    units            int not null default 1,
    n                int not null,
    maybe_duplicate  boolean not null default false,
    not_before       timestamptz not null,
    expires_at       timestamptz not null,
    start_at         timestamptz,
    spacing_s        double precision not null default 0,
    lease_until      timestamptz,
    intent_at        timestamptz,
    ambiguous_at     timestamptz,
    ended_at         timestamptz,
    request_id       text not null default '',
    provider_ref     text not null default '',
    detail           text not null default '',
    endpoint_ids     bigint[] not null,
    n_by_status      int[] not null,
    n_merges         int not null default 0
) with (fillfactor = 60);
create index slice_waiting on slice (sender_id, lane, update_id desc, id) where state = 0;
create index slice_moving on slice (state, incident_id, channel, update_id) where state in (1, 2, 3);
create index slice_by_dispatch on slice (dispatch_id);

-- Fixed width. endpoint_id < 0 stands for a contact (its negated id) that has no endpoint of its own
-- on the channel: it has no address there, or a shared inbox already covers it.
create table delivery (
    update_id        bigint not null,
    endpoint_id      bigint not null,
    account_id       bigint not null,
    slice_id         bigint not null,
    address_id       bigint,
    contact_version  bigint,
    sent_at          timestamptz,
    done_at          timestamptz,
    evidence         int not null default 0,
    channel          smallint not null,
    purpose          smallint not null,
    state            smallint not null,
    reason           smallint not null default 0,
    attempt          smallint not null default 1,
    primary key (update_id, channel, endpoint_id, purpose)
) partition by range (update_id);

-- CREATE … PARTITION OF would lock out readers of the parent; LIKE + ATTACH does not.
create function ensure_delivery_partition(at timestamptz) returns void language plpgsql as $$
declare
    month timestamptz := date_trunc('month', at at time zone 'UTC') at time zone 'UTC';
    following timestamptz := (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    part text := 'delivery_' || to_char(month at time zone 'UTC', 'YYYY_MM');
begin
    if to_regclass(part) is not null then return; end if;
    perform pg_advisory_xact_lock(7202601, hashtext(part));
    -- Read the catalogue itself: to_regclass may answer from before the wait for the lock.
    if exists (select from pg_class where relname = part and pg_table_is_visible(oid)) then return; end if;
    execute format('create table %I (like delivery including all) with (fillfactor = 65)', part);
    execute format('alter table delivery attach partition %I for values from (%s) to (%s)',
                   part, update_id_at(month), update_id_at(following));
end $$;

-- ── evidence ─────────────────────────────────────────────────────────────────────────────────

-- One row per verified callback request, stored before it is answered; deleted when applied.
create table receipt_batch (
    id           bigint generated always as identity primary key,
    provider     text not null,
    received_at  timestamptz not null,
    tries        smallint not null default 0,
    receipts     jsonb not null
);

-- fact: see rules; matched is false where no delivery carries the key.
create table receipt (
    day           date not null,
    update_id     bigint not null,
    endpoint_id   bigint not null,
    channel       smallint not null,
    purpose       smallint not null,
    attempt       smallint not null,
    fact          smallint not null,
    matched       boolean not null,
    at            timestamptz not null,
    provider_ref  text not null default '',
    detail        text not null default ''
) partition by range (day);
create index receipt_by_delivery on receipt (update_id, channel, endpoint_id);

create function ensure_receipt_partition(d date) returns void language plpgsql as $$
declare
    part text := 'receipt_' || to_char(d, 'YYYY_MM_DD');
begin
    if to_regclass(part) is not null then return; end if;
    perform pg_advisory_xact_lock(7202602, hashtext(part));
    -- Read the catalogue itself: to_regclass may answer from before the wait for the lock.
    if exists (select from pg_class where relname = part and pg_table_is_visible(oid)) then return; end if;
    execute format('create table %I (like receipt including all)', part);
    execute format('alter table receipt attach partition %I for values from (%L) to (%L)', part, d, d + 1);
end $$;

-- Was this one told? update_id is the newest update that was accepted for the endpoint.
create table reached (
    incident_id    bigint not null,
    endpoint_id    bigint not null,
    channels_mask  smallint not null,
    update_id      bigint not null,
    primary key (incident_id, endpoint_id)
) with (fillfactor = 80);

create table account_update (
    account_id     bigint not null references account,
    update_id      bigint not null,
    n              int not null,
    n_by_status    int[] not null default '{}',
    first_told_at  timestamptz,
    primary key (account_id, update_id)
) with (fillfactor = 70);

-- What a banner stream sends; ids are the stream's Last-Event-ID.
create table banner_event (
    id           bigint generated always as identity primary key,
    incident_id  bigint not null references incident,
    update_id    bigint not null,
    removed      boolean not null default false,
    at           timestamptz not null
);
create index banner_event_by_incident on banner_event (incident_id, id);

-- ── access and operation ─────────────────────────────────────────────────────────────────────

create table api_key (
    id            text primary key,
    secret_hash   bytea not null,
    name          text not null,
    scopes        text[] not null,
    created_at    timestamptz not null,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz
);

create table idempotency (
    api_key_id   text not null references api_key,
    key          text not null,
    body_hash    bytea not null,
    status       smallint not null,
    location     text not null default '',
    response     jsonb not null,
    created_at   timestamptz not null,
    primary key (api_key_id, key)
);
create index idempotency_by_age on idempotency (created_at);

create table audit (
    id      bigint generated always as identity primary key,
    at      timestamptz not null,
    actor   text not null,
    action  text not null,
    object  text not null,
    detail  jsonb not null default '{}'
);

create table worker (
    id          uuid primary key,
    host        text not null,
    pid         int not null,
    started_at  timestamptz not null,
    seen_at     timestamptz not null
);

select ensure_delivery_partition(now()), ensure_delivery_partition(now() + interval '1 month');

-- ── PgQueuer 1.6.0, as its own installer declares it ─────────────────────────────────────────


CREATE TYPE pgqueuer_status AS ENUM ('queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed');

CREATE TABLE pgqueuer (
    id bigserial NOT NULL PRIMARY KEY,
    priority integer NOT NULL,
    queue_manager_id uuid,
    created timestamp with time zone NOT NULL DEFAULT now(),
    updated timestamp with time zone NOT NULL DEFAULT now(),
    heartbeat timestamp with time zone NOT NULL DEFAULT now(),
    execute_after timestamp with time zone NOT NULL DEFAULT now(),
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL,
    dedupe_key text,
    payload bytea,
    headers jsonb,
    attempts integer NOT NULL DEFAULT 0,
    slot bigint
);

CREATE TABLE pgqueuer_log (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL PRIMARY KEY,
    created timestamp with time zone NOT NULL DEFAULT now(),
    job_id bigint NOT NULL,
    status pgqueuer_status NOT NULL,
    priority integer NOT NULL,
    entrypoint text NOT NULL,
    traceback jsonb,
    aggregated boolean DEFAULT false
);

CREATE TABLE pgqueuer_schedules (
    id bigserial NOT NULL PRIMARY KEY,
    expression text NOT NULL,
    entrypoint text NOT NULL,
    heartbeat timestamp with time zone NOT NULL DEFAULT now(),
    created timestamp with time zone NOT NULL DEFAULT now(),
    updated timestamp with time zone NOT NULL DEFAULT now(),
    next_run timestamp with time zone NOT NULL DEFAULT now(),
    last_run timestamp with time zone,
    status pgqueuer_status DEFAULT 'queued'::pgqueuer_status,
    UNIQUE (expression, entrypoint)
);

CREATE TABLE pgqueuer_statistics (
    id bigserial NOT NULL PRIMARY KEY,
    created timestamp with time zone NOT NULL DEFAULT date_trunc('sec'::text, now()),
    count bigint NOT NULL,
    priority integer NOT NULL,
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL
);

CREATE INDEX pgqueuer_ep_ea_idx ON pgqueuer USING btree (entrypoint, execute_after) WHERE (status = 'queued'::pgqueuer_status);

CREATE INDEX pgqueuer_ep_prio_id_idx ON pgqueuer USING btree (entrypoint, priority DESC, id) WHERE (status = 'queued'::pgqueuer_status);

CREATE INDEX pgqueuer_log_created ON pgqueuer_log USING btree (created);

CREATE INDEX pgqueuer_log_job_id_status ON pgqueuer_log USING btree (job_id, created DESC);

CREATE INDEX pgqueuer_log_not_aggregated ON pgqueuer_log USING btree ((1)) WHERE (NOT aggregated);

CREATE INDEX pgqueuer_log_status ON pgqueuer_log USING btree (status);

CREATE INDEX pgqueuer_picked_heartbeat_idx ON pgqueuer USING btree (heartbeat) WHERE (status = 'picked'::pgqueuer_status);

CREATE UNIQUE INDEX pgqueuer_picked_slot_idx ON pgqueuer USING btree (entrypoint, slot) WHERE ((status = 'picked'::pgqueuer_status) AND (slot IS NOT NULL));

CREATE INDEX pgqueuer_priority_id_id1_idx ON pgqueuer USING btree (priority, id DESC) INCLUDE (id) WHERE (status = 'queued'::pgqueuer_status);

CREATE INDEX pgqueuer_queue_manager_id_idx ON pgqueuer USING btree (queue_manager_id) WHERE (queue_manager_id IS NOT NULL);

CREATE UNIQUE INDEX pgqueuer_statistics_unique_count ON pgqueuer_statistics USING btree (priority, date_trunc('sec'::text, timezone('UTC'::text, created)), status, entrypoint);

CREATE UNIQUE INDEX pgqueuer_unique_dedupe_key ON pgqueuer USING btree (dedupe_key) WHERE ((status = ANY (ARRAY['queued'::pgqueuer_status, 'picked'::pgqueuer_status])) AND (dedupe_key IS NOT NULL));

CREATE INDEX pgqueuer_updated_id_id1_idx ON pgqueuer USING btree (updated, id DESC) INCLUDE (id) WHERE (status = 'picked'::pgqueuer_status);

CREATE FUNCTION fn_pgqueuer_changed() RETURNS TRIGGER AS $$
DECLARE
    to_emit BOOLEAN := false;  -- Flag to decide whether to emit a notification
BEGIN
    -- Check operation type and set the emit flag accordingly
    IF TG_OP = 'UPDATE' AND OLD IS DISTINCT FROM NEW THEN
        to_emit := true;
    ELSIF TG_OP = 'DELETE' THEN
        to_emit := true;
    ELSIF TG_OP = 'INSERT' THEN
        to_emit := true;
    ELSIF TG_OP = 'TRUNCATE' THEN
        to_emit := true;
    END IF;

    -- Perform notification if the emit flag is set
    IF to_emit THEN
        PERFORM pg_notify(
            'ch_pgqueuer',
            json_build_object(
                'channel', 'ch_pgqueuer',
                'operation', lower(TG_OP),
                'sent_at', NOW(),
                'table', TG_TABLE_NAME,
                'type', 'table_changed_event'
            )::text
        );
    END IF;

    -- Return appropriate value based on the operation
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    ELSE
        RETURN NULL; -- For TRUNCATE and other non-row-specific contexts
    END IF;

END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tg_pgqueuer_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgqueuer
EXECUTE FUNCTION fn_pgqueuer_changed();
