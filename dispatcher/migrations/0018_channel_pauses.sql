-- A person has said: nothing more on this channel. A table of its own, by channel and not by sender: neither
-- the breaker, which writes senders, nor a new identity of one can lift it. The version before this one does
-- not know it and goes on sending, so replace its workers before you rely on it.
create table channel_pause (
    channel    smallint primary key,
    paused_at  timestamptz not null,
    until      timestamptz,
    paused_by  text not null,
    reason     text not null check (length(reason) between 1 and 200)
);

-- Account managers see that a channel is paused, not who said why: that may name a customer.
create or replace function walled_reads() returns table (place text, names text[]) language sql immutable as $$
    values ('account', null::text[]), ('contact', null), ('contact_version', null), ('contact_endpoint', null),
           ('address', null), ('account_update', null), ('delivery', null), ('receipt', null), ('export', null),
           ('export_chunk', null), ('rendering', null), ('component', null), ('sender', null), ('bucket', null),
           ('incident', '{id,source,external_id,subject_title,visibility,severity,status,lead,component_ids,
                          started_at,resolved_at,canary}'),
           ('incident_update', '{id,incident_id,seq,kind,status,severity,visibility,facts,mode,state,state_detail,
                                 created_by,at}'),
           ('dispatch', '{id,update_id,incident_id,wave,rule,state,paused_at,created_at,planned_at,completed_at}'),
           ('dispatch_report', '{dispatch_id,made_at}'),
           ('slice', '{id,update_id,incident_id,dispatch_id,rendering_id,channel,purpose,attempt,state,
                       maybe_duplicate,ended_at}'),
           ('channel_pause', '{channel,paused_at,until}')
$$;
