-- What happened to a draft, append-only: each change with what stood there before, so that nothing anybody
-- wrote is lost. `seen` is the version (ETag) that a person decided on; '' where a machine did it.
create table draft_revision (
    update_id  bigint not null references incident_update,
    number     int not null,
    at         timestamptz not null,
    made_by    text not null,
    action     text not null check (action in ('edited', 'extended', 'withdrawn', 'discarded', 'submitted')),
    fields     text[] not null default '{}',
    former     jsonb not null default '{}',
    seen       text not null default '',
    primary key (update_id, number)
);

-- Drafts are few among all updates, and the list of them is what people begin with.
create index incident_update_drafts on incident_update (id) where state = 'draft';
