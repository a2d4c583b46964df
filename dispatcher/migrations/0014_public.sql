-- For whoever reads the public status: what everybody may see, newest first, and what of it goes on.
create index incident_public on incident (id desc) where visibility = 'public';
create index incident_public_open on incident (id desc) where visibility = 'public' and resolved_at is null;
