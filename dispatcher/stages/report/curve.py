"""The cumulative curve: how many people had proof after how many seconds."""

from datetime import datetime
from typing import Final

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.stages.report.model import Curve

ANY: Final = "any"
_STEPS: Final = 198  # with the first and the last, 200 points at most

# channel 0 is "any": a person's first proof on whichever channel.
CURVE_SQL: Final = f"""
with told as (
    select 0::smallint as channel, contact_id, told_at from report_person
    where dispatch_id = $1 and told_at is not null
    union all
    select channel, contact_id, min(told_at) from report_row
    where dispatch_id = $1 and told_at is not null and contact_id is not null group by 1, 2
), placed as (
    select channel, greatest(extract(epoch from told_at - $2::timestamptz), 0)::float8 as seconds,
           row_number() over w as place, count(*) over (partition by channel) as n
    from told window w as (partition by channel order by told_at, contact_id)
)
select channel, seconds, place from placed
where place = 1 or place = n or place % ((n + {_STEPS - 1}) / {_STEPS}) = 0
order by channel, place
"""
PEOPLE_SQL: Final = "select count(*) from report_person where dispatch_id = $1"


async def curve(conn: Connection, dispatch_id: int, *, start: datetime) -> Curve:
    """The curve of one dispatch since `start`; inside `gathered`."""
    series: dict[str, list[tuple[float, int]]] = {}
    for row in await conn.fetch(CURVE_SQL, dispatch_id, start):
        name = ChannelKind.from_code(row["channel"]).value if row["channel"] else ANY
        series.setdefault(name, []).append((round(row["seconds"], 3), row["place"]))
    return Curve(
        people=await conn.fetchval(PEOPLE_SQL, dispatch_id),
        series={name: tuple(points) for name, points in series.items()},
    )
