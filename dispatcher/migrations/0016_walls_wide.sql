-- Whether own accounts were told of an update was answered from all that they were ever told: for a manager of
-- many accounts a little more each week. Most updates went to nearly all accounts, and some to a few: the first
-- own ones find the former at once, whoever was told leads through the latter. `offset 0` keeps the planner from
-- reading them all ahead, `order by` to an index; dispatcher/rules/own.py says the same to the statements.
create index account_update_by_update on account_update (update_id, account_id);
do $$
declare
    told constant text := $told$(
        exists (select from account_update t where t.update_id = %1$s
                and t.account_id = any(array(select own_accounts() limit 50)) offset 0)
        or (select count(*) > 50 from own_accounts())
           and exists (select from account_update t where t.update_id = %1$s
                       and case when t.account_id in (select own_accounts()) then true end
                       order by t.account_id offset 0))$told$;
begin
    execute format('alter policy own on incident_update using (state not in (''draft'', ''cancelled'') and (
        visibility in (''public'', ''customers'') or %s))', format(told, 'incident_update.id'));
    execute format('alter policy own on incident using (not canary and exists (
        select from incident_update u where u.incident_id = incident.id and (
            incident.visibility in (''public'', ''customers'') or %s)))', format(told, 'u.id'));
    execute format('alter policy own on dispatch using (%s)', format(told, 'dispatch.update_id'));
    execute format('alter policy own on slice using (%s)', format(told, 'slice.update_id'));
end $$;
