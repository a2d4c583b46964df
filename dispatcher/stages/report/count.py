"""One dispatch counted into its document, out of what `gathered` has laid out."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.stages.report.document import Document, Listed, PersonRef, SegmentCount
from dispatcher.stages.report.gather import LONG_S, Cell
from dispatcher.stages.report.kinds import Standing
from dispatcher.stages.report.model import EVERYONE, SHARES, Curve
from dispatcher.stages.report.people import failures, funnel, segment_word

LIST_LIMIT: Final = 1000
ANY: Final = "any"
_STEPS: Final = 198  # with the first and the last, 200 points at most

_STANDINGS: Final = ", ".join(
    f"count(*) filter (where standing = {item:d}) as {item.word}" for item in Standing
)
PEOPLE_SQL: Final = f"""
select segment, count(*) as people, count(*) filter (where reachable) as reachable, {_STANDINGS},
       count(*) filter (where told_at <= $2::timestamptz) as on_time
from report_person where dispatch_id = $1 group by segment order by segment
"""
CREATE_SQL: Final = """
create temp table report_moment (segment text, channel smallint, tenths int, n bigint) on commit drop
"""
_TENTHS: Final = (
    "greatest(ceil(date_part('epoch', told_at - $2::timestamptz) * 10 - 0.001), 0)::int"
)
# How many people had proof when, in tenths of a second rounded up, so that a million moments are a few
# thousand. Channel 0 is any: a person's first proof, and by segment; on one channel a person has one
# delivery, so its rows are its people.
MOMENTS_SQL: Final = f"""
insert into report_moment
select segment, 0, {_TENTHS}, count(*) from report_person
where dispatch_id = $1 and told_at is not null group by 1, 3
union all
select '', r.channel, {_TENTHS}, count(*)
from report_row r join report_kind k on k.kind = coalesce(r.stands, r.kind)
where r.dispatch_id = $1 and r.person is not null and k.standing = {Standing.NOTIFIED:d} group by 2, 3
"""
CURVE_SQL: Final = f"""
with running as (
    select channel, tenths, sum(n) over w as people, row_number() over w as place,
           count(*) over (partition by channel) as places
    from (select channel, tenths, sum(n) as n from report_moment group by channel, tenths) as m
    window w as (partition by channel order by tenths)
)
select channel, tenths, people::bigint as people from running
where place = 1 or place = places or place % ((places + {_STEPS - 1}) / {_STEPS}) = 0
order by channel, place
"""
# When each share ($2) of a segment ($1) had proof: the moment that made it at least so many ($3).
REACHED_SQL: Final = f"""
with scoped as (
    select segment, tenths, n from report_moment where channel = 0
    union all
    select '{EVERYONE}', tenths, sum(n) from report_moment where channel = 0 group by tenths
), running as (
    select segment, tenths, sum(n) over (partition by segment order by tenths) as people from scoped
)
select p.segment, p.share, min(r.tenths) as tenths
from unnest($1::text[], $2::int[], $3::bigint[]) as p(segment, share, wanted)
join running r on r.segment = p.segment and r.people >= p.wanted
group by p.segment, p.share
"""
LISTED_SQL: Final = """
select p.person, p.segment, p.standing, p.total
from (select p.*, a.name, a.id, row_number() over w as place, count(*) over (partition by p.standing) as total
      from report_person p join account a on a.id = p.account_id
      where p.dispatch_id = $1 and p.standing = any($2::smallint[])
      window w as (partition by p.standing order by a.name, a.id, p.person)) as p
where p.place <= $3 order by p.standing, p.place
"""
WHY_SQL: Final = """
select r.person, r.channel, k.shown, r.reason from report_row r join report_kind k on k.kind = r.kind
where r.dispatch_id = $1 and r.person = any($2::bigint[]) order by r.person, r.channel
"""
ACCOUNTS_SQL: Final = """
select count(*) from (select from report_person where dispatch_id = $1 group by account_id) as a
"""


async def counted(
    conn: Connection,
    dispatch_id: int,
    cells: Sequence[Cell],
    *,
    start: datetime,
    deadline: datetime | None,
) -> Document:
    """Everything about one dispatch that needs a pass over its deliveries; inside `gathered`.

    Durations count from `start`, in tenths of a second; without a `deadline` nobody is on time.
    """
    own = [cell for cell in cells if cell.dispatch_id == dispatch_id]
    await conn.execute(CREATE_SQL)
    await conn.execute(MOMENTS_SQL, dispatch_id, start, timeout=LONG_S)
    segments = await _segments(conn, dispatch_id, deadline=deadline)
    lists = await _lists(conn, dispatch_id)
    document = Document(
        segments=segments,
        funnel=funnel(own),
        failures=failures(own),
        curve=await _curve(conn, segments[0].people),
        accounts=await conn.fetchval(ACCOUNTS_SQL, dispatch_id),
        not_reached=lists[Standing.NOT_REACHED],
        ask=lists[Standing.UNCONFIRMED],
    )
    await conn.execute("drop table report_moment")
    return document


async def _segments(
    conn: Connection, dispatch_id: int, *, deadline: datetime | None
) -> tuple[SegmentCount, ...]:
    """Everyone first, then each segment."""
    found = [
        dict(row) for row in await conn.fetch(PEOPLE_SQL, dispatch_id, deadline, timeout=LONG_S)
    ]
    whole = {name: sum(row[name] for row in found) for name in _NUMBERS}
    rows: list[dict[str, Any]] = [{"segment": EVERYONE, **whole}, *found]
    wanted = [
        (row["segment"], share, (row["people"] * share + 99) // 100)
        for row in rows
        for share in SHARES
    ]
    columns = [list(column) for column in zip(*wanted, strict=True)]
    reached = {
        (row["segment"], row["share"]): row["tenths"] / 10
        for row in await conn.fetch(REACHED_SQL, *columns)
    }
    return tuple(
        SegmentCount(
            **row,
            seconds_to={str(share): reached.get((row["segment"], share)) for share in SHARES},
        )
        for row in rows
    )


_NUMBERS: Final = ("people", "reachable", *(item.word for item in Standing), "on_time")


async def _curve(conn: Connection, people: int) -> Curve:
    series: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for row in await conn.fetch(CURVE_SQL, timeout=LONG_S):
        name = ChannelKind.from_code(row["channel"]).value if row["channel"] else ANY
        series[name].append((row["tenths"] / 10, row["people"]))
    return Curve(people=people, series={name: tuple(points) for name, points in series.items()})


async def _lists(conn: Connection, dispatch_id: int) -> dict[Standing, Listed]:
    """Who was not reached and who may not have been, by account, with what became of each message."""
    wanted = (Standing.NOT_REACHED, Standing.UNCONFIRMED)
    rows = await conn.fetch(LISTED_SQL, dispatch_id, wanted, LIST_LIMIT, timeout=LONG_S)
    why: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row in await conn.fetch(WHY_SQL, dispatch_id, [row["person"] for row in rows]):
        why[row["person"]].append((row["channel"], row["shown"], row["reason"]))
    people: dict[int, list[PersonRef]] = defaultdict(list)
    for row in rows:
        segment = segment_word(row["segment"])
        ref = PersonRef(person=row["person"], segment=segment, why=tuple(why[row["person"]]))
        people[row["standing"]].append(ref)
    totals = {row["standing"]: row["total"] for row in rows}
    return {
        standing: Listed(total=totals.get(standing, 0), rows=tuple(people[standing]))
        for standing in wanted
    }
