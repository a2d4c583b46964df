"""What a message needs to know of the person it is for, in SQL shared by the intent and by look-ups."""

from dispatcher.rules.states import SHOWN_STATE, TAKEN_IN_ANY_ATTEMPT, DeliveryState

# Of an older delivery d and its slice s: a provider took it.
TOLD = f"({SHOWN_STATE} = {DeliveryState.ACCEPTED:d} or d.evidence & {TAKEN_IN_ANY_ATTEMPT} <> 0)"


def earlier(updates: str, told: str) -> str:
    """Whether an earlier update of the incident has a delivery to the endpoint of k for which `told` holds.

    `updates` is the placeholder of those updates' ids.
    """
    return f"""
exists (select from delivery d join slice s on s.id = d.slice_id
        where d.update_id = any({updates}::bigint[]) and d.channel = k.channel
          and d.endpoint_id = k.endpoint_id and {told})
"""


def person_columns(updates: str) -> str:
    """Of a delivery k and its address a, name v, contact c and account acc."""
    return f"""
a.value as address, v.name, acc.name as account,
coalesce(nullif(c.time_zone, ''), acc.time_zone, 'UTC') as time_zone,
k.channel = 2 and not {earlier(updates, TOLD)} as first_text
"""


PERSON_JOINS = """
left join address a on a.id = k.address_id
left join contact_version v on v.id = k.contact_version
left join contact c on c.id = v.contact_id
left join account acc on acc.id = k.account_id
"""
