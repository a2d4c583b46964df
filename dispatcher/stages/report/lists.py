"""The lists a person works through, with names and words: who could not be reached, whom to ask."""

from collections.abc import Iterable, Mapping
from typing import Final

import asyncpg

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.reasons import words_for
from dispatcher.rules.states import Shown
from dispatcher.stages.report.document import Listed
from dispatcher.stages.report.masks import show_name
from dispatcher.stages.report.model import PersonRow, Why

# By key, and only for who is listed: names are never stored with a report.
NAMES_SQL: Final = """
select v.id as person, coalesce(v.name, '') as name, coalesce(c.external_id, '') as contact,
       a.external_id as account, a.name as account_name
from contact_version v
join contact c on c.id = v.contact_id
join account a on a.id = c.account_id
where v.id = any($1::bigint[])
"""


async def names(conn: Connection, people: list[int]) -> dict[int, asyncpg.Record]:
    """Name, contact and account of these versions of contacts, as far as they still have them."""
    return {row["person"]: row for row in await conn.fetch(NAMES_SQL, people)}


def person_rows(
    listed: Listed, known: Mapping[int, asyncpg.Record], *, limit: int, read_pii: bool
) -> tuple[PersonRow, ...]:
    """The first `limit` of the list, names masked without `read_pii`."""
    return tuple(
        PersonRow(
            contact=known[row.person]["contact"],
            name=show_name(known[row.person]["name"], read_pii=read_pii),
            account=known[row.person]["account"],
            account_name=known[row.person]["account_name"],
            segment=row.segment,
            why=whys(row.why),
        )
        for row in listed.rows[:limit]
        if row.person in known
    )


def whys(codes: Iterable[tuple[int, int, int]]) -> tuple[Why, ...]:
    """Codes of channel, shown status and reason in words."""
    found = []
    for channel, shown, reason in codes:
        status = Shown(shown)
        words = words_for(status, reason)
        found.append(
            Why(
                channel=ChannelKind.from_code(channel).value,
                status=status.word,
                reason=words.code,
                text=words.text,
                advice=words.advice,
            )
        )
    return tuple(found)
