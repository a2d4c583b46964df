"""How far a dispatch is, from the counters of its slices: cheap however many deliveries there are."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import asyncpg
from pydantic import BaseModel, ConfigDict

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.problem import not_found
from dispatcher.rules.states import NOTIFIED, UNSETTLED, Shown
from dispatcher.stages.report.document import SegmentCount
from dispatcher.stages.report.model import EVERYONE, PeopleRow
from dispatcher.stages.report.people import FAILED, people_rows

# `version`: transactions are numbered upwards, whichever process looks.
PROGRESS_SQL: Final = """
select d.state, d.paused_at is not null as paused, d.completed_at, u.state as update_state,
       u.state_detail, r.made_at as counted_at,
       r.document->'segments' as segments, r.deadline,
       (r.document->'not_reached'->>'total')::int + (r.document->'ask'->>'total')::int as to_phone,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as version, c.channel, c.status, c.n
from dispatch d
join incident_update u on u.id = d.update_id
left join dispatch_report r on r.dispatch_id = d.id
left join lateral (
    select s.channel, t.i - 1 as status, sum(t.n)::bigint as n
    from slice s, unnest(s.n_by_status) with ordinality as t(n, i)
    where s.dispatch_id = d.id group by s.channel, t.i having sum(t.n) <> 0) c on true
where d.id = $1
"""
_WITHHELD: Final = frozenset({Shown.SUPPRESSED, Shown.UNREACHABLE})
_OVER: Final = frozenset({"completed", "cancelled"})


class ChannelProgress(BaseModel):
    """Messages of one channel that may be sent at all (`total`), and what became of them.

    `settled` have left or were given up; of these `proof` have arrived, `failed` have not, and of
    `unproven` nothing is known yet.
    """

    model_config = ConfigDict(frozen=True)

    channel: str
    total: int
    settled: int
    proof: int
    unproven: int
    failed: int


class Progress(BaseModel):
    """The whole state at one moment, never a difference to an earlier one.

    `version` grows. `over`: nothing will be sent any more; proofs may still arrive. `everyone`
    and `to_phone` were counted by the report's job at `counted_at`, null before its first time.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    state: str
    paused: bool
    over: bool
    failed: str | None
    completed_at: datetime | None
    counted_at: datetime | None
    everyone: PeopleRow | None
    to_phone: int | None
    channels: tuple[ChannelProgress, ...]

    @property
    def moving(self) -> bool:
        """Whether more is to be expected; a banner waits for its reader, so it counts for nothing."""
        return not self.over or any(
            row.unproven for row in self.channels if row.channel != ChannelKind.BANNER.value
        )

    @property
    def content(self) -> dict[str, Any]:
        """What a reader sees: without the version, which moves when anything does."""
        return self.model_dump(exclude={"version"})


async def read_progress(conn: Connection, dispatch_id: int, *, now: datetime) -> Progress:
    """How far a dispatch is now, its promise judged at `now`. RefusedError (404) when there is none."""
    rows = await conn.fetch(PROGRESS_SQL, dispatch_id)
    if not rows:
        raise not_found("dispatch")
    first = rows[0]
    counts: dict[int, Counter[Shown]] = defaultdict(Counter)
    for row in rows:
        if row["channel"] is not None:
            counts[row["channel"]][Shown(row["status"])] += row["n"]
    return Progress(
        version=first["version"],
        state=first["state"],
        paused=first["paused"],
        over=first["state"] in _OVER,
        failed=first["state_detail"] or "failed" if first["update_state"] == "failed" else None,
        completed_at=first["completed_at"],
        counted_at=first["counted_at"],
        everyone=_everyone(first, now),
        to_phone=first["to_phone"],
        channels=tuple(_channel(code, counts[code]) for code in sorted(counts)),
    )


def _everyone(row: asyncpg.Record, now: datetime) -> PeopleRow | None:
    counted = [SegmentCount.model_validate(item) for item in row["segments"] or ()]
    found = people_rows(counted, row["deadline"], now=now)
    return next((item for item in found if item.segment == EVERYONE), None)


def _channel(code: int, counts: Mapping[Shown, int]) -> ChannelProgress:
    def of(statuses: Iterable[Shown]) -> int:
        return sum(counts.get(status, 0) for status in statuses)

    total = sum(counts.values()) - of(_WITHHELD)
    return ChannelProgress(
        channel=ChannelKind.from_code(code).value,
        total=total,
        settled=total - of(UNSETTLED),
        proof=of(NOTIFIED),
        unproven=of([Shown.ACCEPTED]),
        failed=of(FAILED - _WITHHELD),
    )
