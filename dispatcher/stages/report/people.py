"""People and messages counted: who was told how fast, where they dropped out, and why."""

from datetime import datetime
from typing import Any, Final, Literal

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.reasons import REASONS, Words
from dispatcher.rules.states import NOTIFIED, UNSETTLED, Shown
from dispatcher.stages.report.gather import Standing
from dispatcher.stages.report.model import (
    EVERYONE,
    PUBLIC,
    SHARES,
    FailureRow,
    FirstNotice,
    FunnelRow,
    PeopleRow,
)

# Statuses in which a message certainly did not arrive and nothing more will happen to it.
FAILED: Final = frozenset(
    {
        Shown.FAILED,
        Shown.EXPIRED,
        Shown.SUPPRESSED,
        Shown.UNREACHABLE,
        Shown.CANCELLED,
        Shown.SUPERSEDED,
        Shown.UNCONFIRMED,
    }
)
_WITHHELD: Final = (Shown.SUPPRESSED, Shown.UNREACHABLE)

_REACHED = ", ".join(
    f"max(told_at) filter (where place = (n * {s} + 99) / 100) as s{s}" for s in SHARES
)
_STANDINGS = ", ".join(
    f"count(*) filter (where standing = {item:d}) as {item.name.lower()}" for item in Standing
)
# told_at is null for whoever has no proof, and nulls come last: a share not reached is null.
PEOPLE_SQL: Final = f"""
with scoped as (
    select '{EVERYONE}' as segment, standing, reachable, told_at from report_person where dispatch_id = $1
    union all
    select segment, standing, reachable, told_at from report_person where dispatch_id = $1
), placed as (
    select *, row_number() over (partition by segment order by told_at nulls last) as place,
           count(*) over (partition by segment) as n
    from scoped
)
select segment, count(*) as people, count(*) filter (where reachable) as reachable, {_STANDINGS},
       count(*) filter (where told_at <= $2::timestamptz) as on_time, {_REACHED}
from placed group by segment order by segment <> '{EVERYONE}', segment
"""
FUNNEL_SQL: Final = """
select segment, channel, count(*) as targeted, count(*) filter (where covered) as covered,
       count(*) filter (where shown <> all($2::smallint[])) as reachable,
       count(*) filter (where taken) as accepted,
       count(*) filter (where shown = any($3::smallint[])) as notified,
       count(*) filter (where shown = any($4::smallint[]) and shown <> all($2::smallint[])) as failed,
       count(*) filter (where shown = any($5::smallint[])) as waiting
from report_row where dispatch_id = $1 group by segment, channel order by segment, channel
"""
FAILURES_SQL: Final = """
select channel, shown, reason, count(*) as n from report_row
where dispatch_id = $1 and not covered and shown = any($2::smallint[])
group by channel, shown, reason order by n desc, channel, shown, reason
"""
TOTALS_SQL: Final = """
select t.i - 1 as status, sum(t.n)::bigint as n
from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
where s.dispatch_id = $1 group by t.i having sum(t.n) <> 0 order by t.i
"""
_NO_REASON: Final = {
    Shown.FAILED: Words(
        "unknown", "It failed, and the provider gave no reason", "Try another channel."
    ),
    Shown.UNCONFIRMED: Words(
        "no_proof", "It may or may not have left; the provider could not say", "Ask the customer."
    ),
    Shown.ACCEPTED: Words(
        "not_seen", "It waits in the application, nobody has opened it", "Tell them."
    ),
}


def words_for(status: Shown, reason: int) -> Words:
    """Plain words for a reason; where none was recorded, for the status."""
    nothing = Words(status.word, status.word.capitalize(), "")
    if reason == 0:
        return _NO_REASON.get(status, nothing)
    return REASONS.get(reason, nothing)


def segment_word(segment: str) -> str:
    """The stored segment, where '' is the public voice."""
    return segment or PUBLIC


async def totals(conn: Connection, dispatch_id: int) -> dict[str, int]:
    """Messages by status word, from the slices' counters: no delivery is read."""
    rows = await conn.fetch(TOTALS_SQL, dispatch_id)
    return {Shown(row["status"]).word: row["n"] for row in rows}


async def people(
    conn: Connection, dispatch_id: int, *, start: datetime, deadline: datetime | None, now: datetime
) -> tuple[PeopleRow, ...]:
    """Everyone first, then each segment; inside `gathered`."""
    rows = await conn.fetch(PEOPLE_SQL, dispatch_id, deadline)
    return tuple(
        PeopleRow(
            segment=row["segment"],
            people=row["people"],
            reachable=row["reachable"],
            **{item.name.lower(): row[item.name.lower()] for item in Standing},
            seconds_to={str(share): _seconds(start, row[f"s{share}"]) for share in SHARES},
            first_notice=_judge(dict(row), deadline, now) if deadline else None,
        )
        for row in rows
    ) or (_nobody(),)


def _nobody() -> PeopleRow:
    return PeopleRow(
        segment=EVERYONE,
        people=0,
        reachable=0,
        **{item.name.lower(): 0 for item in Standing},
        seconds_to={str(share): None for share in SHARES},
        first_notice=None,
    )


def _seconds(start: datetime, moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, round((moment - start).total_seconds(), 3))


def _judge(row: dict[str, Any], deadline: datetime, now: datetime) -> FirstNotice:
    late = row["notified"] - row["on_time"]
    waiting = row["under_way"] + row["unproven"] + row["unconfirmed"]
    state: Literal["met", "missed", "open"] = "met"
    if late or (waiting and now > deadline):
        state = "missed"
    elif waiting:
        state = "open"
    elif not row["notified"]:
        # Nobody can be reached at all: that is no kept promise.
        state = "missed" if now > deadline else "open"
    return FirstNotice(
        deadline=deadline, state=state, on_time=row["on_time"], late=late, waiting=waiting
    )


async def funnel(conn: Connection, dispatch_id: int) -> tuple[FunnelRow, ...]:
    """Segment × channel; inside `gathered`."""
    waiting = [*UNSETTLED]
    rows = await conn.fetch(FUNNEL_SQL, dispatch_id, _WITHHELD, [*NOTIFIED], [*FAILED], waiting)
    return tuple(
        FunnelRow(
            segment=segment_word(row["segment"]),
            channel=ChannelKind.from_code(row["channel"]).value,
            **{name: row[name] for name in _FUNNEL_NUMBERS},
        )
        for row in rows
    )


_FUNNEL_NUMBERS: Final = (
    "targeted",
    "covered",
    "reachable",
    "accepted",
    "notified",
    "failed",
    "waiting",
)


async def failures(conn: Connection, dispatch_id: int) -> tuple[FailureRow, ...]:
    """Most frequent first; inside `gathered`. Who is covered by a shared inbox did not fail."""
    found = []
    for row in await conn.fetch(FAILURES_SQL, dispatch_id, [*FAILED]):
        status = Shown(row["shown"])
        words = words_for(status, row["reason"])
        found.append(
            FailureRow(
                channel=ChannelKind.from_code(row["channel"]).value,
                status=status.word,
                reason=words.code,
                text=words.text,
                advice=words.advice,
                count=row["n"],
            )
        )
    return tuple(found)
