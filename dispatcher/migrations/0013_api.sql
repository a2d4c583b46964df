-- What lists of the API are narrowed by; each ends in the order in which it is shown, read backwards.
create index incident_by_external_id on incident (external_id, id);
create index dispatch_by_state on dispatch (state, id);
