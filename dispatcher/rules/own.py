"""What concerns own accounts, in SQL: whose they are says the setting `tidings.user` of the transaction.

An account manager's statements hold these conditions; without the setting nothing is anybody's own. They
are the first of two walls, see docs/walls.md.
"""

from typing import Final

_FEW: Final = 50
OWN_ACCOUNT: Final = "= any(array(select own_accounts()))"
OWN_ENDPOINT: Final = "= any(array(select own_endpoints()))"


def told_own(update: str) -> str:
    """Own accounts were told of the update with this number, or were planned to be.

    Most updates went to nearly all accounts, and some to a few: the first own ones find the former at
    once, whoever was told leads through the latter. History is read for neither.
    """
    return f"""(
        exists (select from account_update t where t.update_id = {update}
                and t.account_id = any(array(select own_accounts() limit {_FEW})) offset 0)
        or (select count(*) > {_FEW} from own_accounts())
           and exists (select from account_update t where t.update_id = {update}
                       and case when t.account_id in (select own_accounts()) then true end
                       order by t.account_id offset 0))"""


def seen_update(update: str) -> str:
    """The update with this alias is none of what only others may know."""
    return f"""({update}.state not in ('draft', 'cancelled') and (
        {update}.visibility in ('public', 'customers')
        or {update}.visibility = 'accounts' and {told_own(f"{update}.id")}))"""


def seen_incident(incident: str) -> str:
    """The incident with this alias is none of what only others may know, and more than a draft."""
    return f"""(not {incident}.canary and exists (
        select from incident_update said
        where said.incident_id = {incident}.id and said.state not in ('draft', 'cancelled') and (
            {incident}.visibility in ('public', 'customers')
            or {incident}.visibility = 'accounts' and {told_own("said.id")})))"""
