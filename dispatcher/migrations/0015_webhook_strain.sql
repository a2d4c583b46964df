-- Receivers that are spared for now: at tried_at one took long or said that it is too much. Before
-- not_before, where it asked for that, it is sent nothing. A table of its own: the version before
-- this one reads webhook_endpoint by all of its columns, and runs beside it while workers are replaced.
create table webhook_strain (
    endpoint_id  bigint primary key references webhook_endpoint on delete cascade,
    tried_at     timestamptz not null,
    not_before   timestamptz
);

-- What is under way is counted at each turn, however much waits beside it.
create index webhook_delivery_under_way on webhook_delivery (endpoint_id) where state = 'sending';
