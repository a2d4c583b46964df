-- The circuit breaker of a sender. doubts: requests in a row whose end is unknown. trips: how often in a row
-- the sender was stopped; above zero it is on probation, and the next slice is a probe.
-- retry_free: no retry may leave before this time (seconds since the epoch), see the release stage.
alter table sender
    add column doubts smallint not null default 0,
    add column trips smallint not null default 0,
    add column retry_free double precision not null default 0;

-- Slices of one lane take rounds: the first ones of every update, then the next two, the next four. So an
-- update, or the small accounts of one, never waits for the end of a huge one.
alter table slice add column round smallint not null default 0;
drop index slice_waiting;
create index slice_waiting on slice (sender_id, lane, round, update_id desc, id) where state = 0;
