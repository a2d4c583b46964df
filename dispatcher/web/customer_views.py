"""Customers as they are stored, for who may read them."""

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.stages.report.masks import mask_email, show_address
from dispatcher.web.customer_models import Account, Component, Contact, Reach, Usage, Wish

ACCOUNT_SQL = """
select a.*, (select count(*) from contact c where c.account_id = a.id and c.removed_at is null) as contacts
from account a where a.external_id = $1
"""
USAGE_SQL = """
select c.external_id as component, u.region from usage u join component c on c.id = u.component_id
where u.account_id = $1 order by 1, 2
"""
CONTACT_SQL = """
select c.*, a.external_id as account, v.name
from contact c join account a on a.id = c.account_id join contact_version v on v.id = c.version_id
where c.external_id = $1
"""
REACH_SQL = """
select ce.channel, ad.value, ce.consented,
       exists (select from suppression s
               where s.channel = ce.channel and s.address_hash = ad.hash) as suppressed
from contact_endpoint ce join address ad on ad.id = ce.address_id
where ce.contact_id = $1 and ce.removed_at is null order by ce.channel
"""
WISHES_SQL = """
select c.external_id as component, s.channel, s.wanted, s.chosen
from subscription s left join component c on c.id = s.component_id
where s.contact_id = $1 order by s.channel, s.component_id
"""
COMPONENT_SQL = """
select c.*, (select count(distinct u.account_id) from usage u
             join account a on a.id = u.account_id and a.removed_at is null
             where u.component_id = c.id) as accounts
from component c where c.external_id = $1
"""


async def read_account(conn: Connection, external_id: str, *, read_pii: bool) -> Account | None:
    """The account, None where there is none."""
    row = await conn.fetchrow(ACCOUNT_SQL, external_id)
    if row is None:
        return None
    usage = await conn.fetch(USAGE_SQL, row["id"])
    manager = row["manager_email"]
    return Account(
        external_id=row["external_id"],
        name=row["name"],
        attributes=row["attributes"],
        segment=row["segment"],
        segment_rule=row["segment_rule"],
        region=row["region"],
        locale=row["locale"],
        time_zone=row["time_zone"],
        manager_name=(row["manager_name"] or None) if read_pii else None,
        manager_email=(manager if read_pii else mask_email(manager)) if manager else None,
        usage=[Usage(component=item["component"], region=item["region"]) for item in usage],
        contacts=row["contacts"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        removed_at=row["removed_at"],
    )


async def read_contact(conn: Connection, external_id: str, *, read_pii: bool) -> Contact | None:
    """The contact with addresses and wishes, None where there is none."""
    row = await conn.fetchrow(CONTACT_SQL, external_id)
    if row is None:
        return None
    return Contact(
        external_id=row["external_id"],
        account=row["account"],
        name=row["name"] if read_pii else None,
        roles=row["roles"],
        reach=await _reach(conn, row["id"], read_pii=read_pii),
        wishes=[
            Wish(
                component=item["component"],
                channel=ChannelKind.from_code(item["channel"]),
                wanted=item["wanted"],
                chosen=item["chosen"],
            )
            for item in await conn.fetch(WISHES_SQL, row["id"])
        ],
        locale=row["locale"],
        time_zone=row["time_zone"],
        quiet_from=row["quiet_from"],
        quiet_until=row["quiet_until"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        removed_at=row["removed_at"],
    )


async def _reach(conn: Connection, contact_id: int, *, read_pii: bool) -> list[Reach]:
    found = []
    for row in await conn.fetch(REACH_SQL, contact_id):
        channel = ChannelKind.from_code(row["channel"])
        found.append(
            Reach(
                channel=channel,
                address=show_address(channel, row["value"], read_pii=read_pii),
                consented=row["consented"],
                suppressed=row["suppressed"],
            )
        )
    return found


async def read_component(conn: Connection, external_id: str) -> Component | None:
    """The component and how many accounts use it, None where there is none."""
    row = await conn.fetchrow(COMPONENT_SQL, external_id)
    if row is None:
        return None
    return Component(
        external_id=row["external_id"],
        name=row["name"],
        public_name=row["public_name"],
        description=row["description"],
        accounts=row["accounts"],
        removed_at=row["removed_at"],
    )
