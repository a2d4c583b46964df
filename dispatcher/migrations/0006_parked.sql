-- Receipts with a key of ours and no delivery that it fits: looked at again for a while, then written down as
-- matched by nothing. facts: as lists, see dispatcher/rules/receipts.py.
create table parked_receipt (
    id         bigint generated always as identity primary key,
    parked_at  timestamptz not null,
    look_at    timestamptz not null,
    update_id  bigint not null,
    channel    smallint not null,
    facts      jsonb not null
);
create index parked_receipt_due on parked_receipt (look_at);
