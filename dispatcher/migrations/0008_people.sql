-- People who work with Tidings. What they may do follows from their role, see dispatcher/rules/roles.py.
create table users (
    id             bigint generated always as identity primary key,
    email          text not null unique check (email = lower(email)),
    name           text not null,
    role           text not null check (role in ('viewer', 'account_manager', 'author', 'comms_lead', 'admin')),
    password_hash  text,
    oidc_subject   text unique, -- the issuer's address, a space, its name for the person
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    disabled_at    timestamptz
);

-- The accounts of an account manager: those that name their address, and these besides, for a deputy.
create table user_account (
    user_id     bigint not null references users on delete cascade,
    account_id  bigint not null references account,
    primary key (user_id, account_id)
);
create index account_by_manager on account (lower(manager_email)) where manager_email <> '';

-- One-time links: the first admin's, an invitation, a new password.
create table user_link (
    token_hash  bytea primary key,
    user_id     bigint not null references users on delete cascade,
    created_at  timestamptz not null,
    ends_at     timestamptz not null,
    used_at     timestamptz
);
create index user_link_by_user on user_link (user_id);
create index user_link_by_age on user_link (ends_at);

-- Who failed to sign in how often: by keyed hash of the e-mail, whether anybody here has it or not, and of the
-- address they came from. So a lock tells nobody who works here.
create table sign_in_brake (
    key        bytea primary key,
    failed     int not null,
    closed_to  timestamptz not null,
    at         timestamptz not null
);
create index sign_in_brake_by_age on sign_in_brake (at);

-- Who was sent to the identity provider and is expected back, once, within minutes.
create table oidc_state (
    state_hash  bytea primary key,
    ends_at     timestamptz not null
);
-- Nobody but their owner, as whom the product works, has any business with these.
alter table sign_in_brake enable row level security;
alter table oidc_state enable row level security;

-- A key belongs to a system, or to a person; a session is a key that signing in makes. What replaces a key
-- leaves it `expires_at`, so that both work for a while.
alter table api_key
    add column user_id  bigint references users,
    add column kind     text not null default 'key' check (kind in ('key', 'session')),
    add column replaced_by text references api_key;
create index api_key_by_user on api_key (user_id) where user_id is not null;
create index api_key_sessions on api_key (expires_at) where kind = 'session';
create index audit_by_object on audit (object, id);
create index audit_by_actor on audit (actor, id);

-- The accounts of the person whom the setting `tidings.user` names; none when it names nobody.
create function own_accounts() returns setof bigint language sql stable as $$
    select a.id from account a
    join users u on lower(a.manager_email) = u.email and a.manager_email <> ''
    where u.id = nullif(current_setting('tidings.user', true), '')::bigint and u.disabled_at is null
    union
    select o.account_id from user_account o join users u on u.id = o.user_id
    where u.id = nullif(current_setting('tidings.user', true), '')::bigint and u.disabled_at is null
$$;
