"""Where texts would go: how the numbers begin that an update would be sent to."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from segments.audience import AUDIENCE_PARAMS, AUDIENCE_SQL, over_everybody
from segments.model import MAX_ID, AudienceQuery, Channel, Db

# A number that several people share gets one text, that of the contact with the lowest id.
_DIALLED_SQL: Final = f"""
    with reached as materialized (
        select distinct on (a.endpoint_id) a.segment, a.address_id
        from ({AUDIENCE_SQL}) a where a.reason = 0
        order by a.endpoint_id, a.contact_id
    )
    select r.segment, left(d.value, ${AUDIENCE_PARAMS + 1}::int) as beginning, count(*) as n
    from reached r join address d on d.id = r.address_id
    group by 1, 2 order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Dialled:
    """How many texts go from a segment's words to numbers with a beginning such as `+4915`."""

    segment: str
    beginning: str
    n: int


async def dialled(conn: Db, query: AudienceQuery, now: datetime, *, length: int) -> list[Dialled]:
    """Texts by segment and the first `length` characters of the number, the plus among them."""
    sms = [n for n, channel in enumerate(query.rule_channels) if channel == Channel.SMS]
    asked = replace(
        query,
        rule_segments=tuple(query.rule_segments[n] for n in sms),
        rule_channels=tuple(query.rule_channels[n] for n in sms),
        rule_roles=tuple(query.rule_roles[n] for n in sms),
    )
    async with over_everybody(conn) as suppressed:
        rows = await conn.fetch(_DIALLED_SQL, *asked.params(0, MAX_ID, now, suppressed), length)
    return [Dialled(*row) for row in rows]
