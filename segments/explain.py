"""Why one contact is in the audience or not: gathers what decides, `verdict` judges it."""

from datetime import datetime
from typing import Final

from asyncpg import Record

from segments.audience import AUDIENCE_SQL, suppressed_endpoints
from segments.model import AudienceQuery, Db
from segments.verdict import Account, Endpoint, Person, Verdict, judge

_CONTACT: Final = """
    select c.id, c.account_id, c.roles, c.quiet_from, c.quiet_until,
           c.removed_at is not null as removed,
           known_zone(coalesce(nullif(c.time_zone, ''), a.time_zone)) as zone,
           a.name, a.segment, a.segment_rule, a.removed_at is not null as account_removed
    from contact c join account a on a.id = c.account_id
    where c.external_id = $1::text
"""
_USES: Final = """
    select c.name, u.region from usage u join component c on c.id = u.component_id
    where u.account_id = $1::bigint and u.component_id = any ($2::bigint[])
"""
_WISHES: Final = """
    select channel, component_id, wanted from subscription where contact_id = $1::bigint
"""
_ENDPOINTS: Final = """
    select ce.channel, ce.endpoint_id, ce.consented,
           exists (select from suppression s
                   where s.channel = ce.channel and s.address_hash = a.hash) as suppressed
    from contact_endpoint ce join address a on a.id = ce.address_id
    where ce.contact_id = $1::bigint and ce.removed_at is null
"""
_BEFORE: Final = """
    select c.id, c.external_id
    from contact_endpoint ce join contact c on c.id = ce.contact_id
    where ce.endpoint_id = $1::bigint and ce.contact_id < $2::bigint
      and ce.removed_at is null and c.removed_at is null
    order by c.id
"""


class UnknownContactError(LookupError):
    """There is no contact with this external id."""


async def explain(conn: Db, query: AudienceQuery, external_id: str, now: datetime) -> list[Verdict]:
    """Would this contact be told on each channel, and why. Raises UnknownContactError."""
    row = await conn.fetchrow(_CONTACT, external_id)
    if row is None:
        raise UnknownContactError(f"There is no contact {external_id!r}.")
    return judge(await _person(conn, query, row, now), query, now)


async def _person(conn: Db, query: AudienceQuery, row: Record, now: datetime) -> Person:
    uses = await conn.fetch(_USES, row["account_id"], query.component_ids)
    wishes = await conn.fetch(_WISHES, row["id"])
    account = Account(
        id=row["account_id"],
        name=row["name"],
        segment=row["segment"],
        segment_rule=row["segment_rule"],
        removed=row["account_removed"],
        uses=tuple((use["name"], use["region"]) for use in uses),
    )
    quiet = (row["quiet_from"], row["quiet_until"]) if row["quiet_from"] is not None else None
    return Person(
        account=account,
        removed=row["removed"],
        roles=frozenset(row["roles"]),
        zone=row["zone"],
        quiet=quiet,
        wishes={(wish["channel"], wish["component_id"]): wish["wanted"] for wish in wishes},
        endpoints=await _endpoints(conn, query, row["id"], now),
    )


async def _endpoints(
    conn: Db, query: AudienceQuery, contact_id: int, now: datetime
) -> dict[int, Endpoint]:
    found = {}
    suppressed = await suppressed_endpoints(conn)
    for row in await conn.fetch(_ENDPOINTS, contact_id):
        covered_by = None
        for other in await conn.fetch(_BEFORE, row["endpoint_id"], contact_id):
            params = query.params(other["id"] - 1, other["id"], now, suppressed)
            told = await conn.fetch(AUDIENCE_SQL, *params)
            if any(entry["endpoint_id"] == row["endpoint_id"] for entry in told):
                covered_by = other["external_id"]
                break
        found[row["channel"]] = Endpoint(row["consented"], row["suppressed"], covered_by)
    return found
