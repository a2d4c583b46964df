"""The lists a person works through: accounts, who could not be reached, whom to ask."""

from collections import defaultdict
from typing import Final

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.states import Shown
from dispatcher.stages.report.gather import Standing
from dispatcher.stages.report.model import AccountRow, PersonRow, Why
from dispatcher.stages.report.people import segment_word, words_for

# Whoever knows nothing yet comes first: that is what the list is read for.
ACCOUNTS_SQL: Final = f"""
select p.account_id, a.external_id, a.name, a.manager_name, min(p.segment) as segment,
       count(*) as people, count(*) filter (where p.standing = {Standing.NOTIFIED:d}) as notified,
       min(p.told_at) as first_told_at, count(*) over () as total
from report_person p join account a on a.id = p.account_id
where p.dispatch_id = $1
group by p.account_id, a.external_id, a.name, a.manager_name
order by min(p.told_at) is not null, a.name, p.account_id limit $2
"""
CHANNELS_SQL: Final = """
select account_id, channel, shown, count(*) as n from report_row
where dispatch_id = $1 and account_id = any($2::bigint[])
group by account_id, channel, shown order by account_id, channel, shown
"""
PEOPLE_SQL: Final = """
select p.contact_id, p.segment, coalesce(c.external_id, '') as external_id, coalesce(v.name, '') as name,
       a.external_id as account, a.name as account_name, count(*) over () as total
from report_person p
join contact c on c.id = p.contact_id
join account a on a.id = p.account_id
left join contact_version v on v.id = c.version_id
where p.dispatch_id = $1 and p.standing = $2::smallint
order by a.name, a.id, p.contact_id limit $3
"""
WHY_SQL: Final = """
select contact_id, channel, shown, reason from report_row
where dispatch_id = $1 and contact_id = any($2::bigint[]) order by contact_id, channel
"""


async def accounts(
    conn: Connection, dispatch_id: int, *, limit: int
) -> tuple[tuple[AccountRow, ...], int]:
    """The first `limit` accounts and how many there are; inside `gathered`."""
    rows = await conn.fetch(ACCOUNTS_SQL, dispatch_id, limit)
    channels: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for item in await conn.fetch(CHANNELS_SQL, dispatch_id, [row["account_id"] for row in rows]):
        kind = ChannelKind.from_code(item["channel"])
        channels[item["account_id"]][kind.value][Shown(item["shown"]).word] = item["n"]
    found = tuple(
        AccountRow(
            account=row["external_id"],
            name=row["name"],
            segment=segment_word(row["segment"]),
            manager=row["manager_name"],
            standing="waiting",
            people=row["people"],
            notified=row["notified"],
            waiting=0,
            unconfirmed=0,
            not_reached=0,
            first_told_at=row["first_told_at"],
            statuses={},
            channels=channels[row["account_id"]],
        )
        for row in rows
    )
    return found, rows[0]["total"] if rows else 0


async def persons(
    conn: Connection, dispatch_id: int, standing: Standing, *, limit: int
) -> tuple[tuple[PersonRow, ...], int]:
    """The first `limit` people of one standing, each channel with its reason; inside `gathered`."""
    rows = await conn.fetch(PEOPLE_SQL, dispatch_id, standing, limit)
    why: dict[int, list[Why]] = defaultdict(list)
    for item in await conn.fetch(WHY_SQL, dispatch_id, [row["contact_id"] for row in rows]):
        status = Shown(item["shown"])
        words = words_for(status, item["reason"])
        why[item["contact_id"]].append(
            Why(
                channel=ChannelKind.from_code(item["channel"]).value,
                status=status.word,
                reason=words.code,
                text=words.text,
                advice=words.advice,
            )
        )
    found = tuple(
        PersonRow(
            contact=row["external_id"],
            name=row["name"],
            account=row["account"],
            account_name=row["account_name"],
            segment=segment_word(row["segment"]),
            why=tuple(why[row["contact_id"]]),
        )
        for row in rows
    )
    return found, rows[0]["total"] if rows else 0
