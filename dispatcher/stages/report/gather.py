"""Lay one update's deliveries out for counting: one row a delivery with its shown status, one a person.

The status is decided in Python by `rules.states.shown`, once per distinct combination of what it
depends on; everything else is SQL over two temporary tables that vanish with the transaction.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Final, NamedTuple, assert_never

import asyncpg

from channels.model import ChannelKind, Fact
from dispatcher.db import Connection
from dispatcher.rules.states import (
    EARLIER_ATTEMPTS_SHIFT,
    TAKEN_MASK,
    DeliveryState,
    Purpose,
    Shown,
    SliceState,
    fact_code,
    shown,
)
from segments.model import Exclusion

TOLD_FACTS: Final = (
    Fact.DELIVERED,
    Fact.OPENED,
    Fact.CLICKED,
    Fact.DISPLAYED,
    Fact.DISMISSED,
    Fact.POSTED,
)
TOLD_CODES: Final = tuple(fact_code(fact) for fact in TOLD_FACTS)
_BANNER: Final = ChannelKind.BANNER.code

_LIMITS: Final = """
set local statement_timeout = '10min'; set local work_mem = '64MB'; set local jit = off
"""
CREATE_SQL: Final = """
create temp table report_raw (
    dispatch_id bigint, channel smallint, endpoint_id bigint, account_id bigint, contact_id bigint,
    segment text, state smallint, slice_state smallint, again boolean, evidence int, reason smallint,
    told_at timestamptz
) on commit drop;
create temp table report_row (
    dispatch_id bigint, channel smallint, endpoint_id bigint, account_id bigint, contact_id bigint,
    segment text, shown smallint, standing smallint, taken boolean, reason smallint, covered boolean,
    usable boolean, told_at timestamptz
) on commit drop;
create temp table report_person (
    dispatch_id bigint, contact_id bigint, account_id bigint, segment text, standing smallint,
    reachable boolean, told_at timestamptz
) on commit drop
"""
DROP_SQL: Final = "drop table report_raw, report_row, report_person"
# A copy for the public voice has no rendering segment of its own; '' stands for "the public".
RAW_SQL: Final = f"""
with proof as materialized (
    select channel, endpoint_id, min(at) as at from receipt
    where update_id = $1 and purpose = {Purpose.NOTICE:d} and matched and fact = any($2::smallint[])
    group by channel, endpoint_id
)
insert into report_raw
select s.dispatch_id, d.channel, d.endpoint_id, d.account_id, v.contact_id,
       coalesce(r.segment, a.segment, ''), d.state, s.state, d.attempt > 1, d.evidence, d.reason,
       coalesce(p.at, d.done_at, d.sent_at)
from delivery d
join slice s on s.id = d.slice_id
left join rendering r on r.id = s.rendering_id
left join account a on a.id = d.account_id
left join contact_version v on v.id = d.contact_version
left join proof p on p.channel = d.channel and p.endpoint_id = d.endpoint_id
where d.update_id = $1 and d.purpose = {Purpose.NOTICE:d}
"""
COMBINATIONS_SQL: Final = """
select distinct state, slice_state, again, evidence, channel = $1::smallint as passive from report_raw
"""
# Whoever is covered by a shared inbox stands as the message to that inbox stands.
ROW_SQL: Final = f"""
with m as (
    select * from unnest($1::smallint[], $2::smallint[], $3::boolean[], $4::int[], $5::boolean[],
                         $6::smallint[], $7::smallint[], $8::boolean[])
                  as t(state, slice_state, again, evidence, passive, shown, standing, taken)
), known as materialized (
    select r.dispatch_id, r.channel, r.endpoint_id, r.account_id, r.contact_id, r.segment, m.shown,
           m.standing, m.taken, r.reason, r.reason = {Exclusion.SHARED_INBOX:d} as covered,
           m.shown not in ({Shown.SUPPRESSED:d}, {Shown.UNREACHABLE:d}) as usable,
           case when m.standing = $9::smallint then r.told_at end as told_at
    from report_raw r join m using (state, slice_state, again, evidence)
    where m.passive = (r.channel = {_BANNER})
), cover as materialized (
    select k.dispatch_id, k.channel, k.endpoint_id, min(b.standing) as standing, bool_or(b.usable) as usable,
           min(b.told_at) as told_at
    from known k
    join contact_endpoint ce on ce.contact_id = k.contact_id and ce.channel = k.channel
    join known b on b.dispatch_id = k.dispatch_id and b.channel = k.channel
                and b.endpoint_id = ce.endpoint_id
    where k.covered group by 1, 2, 3
)
insert into report_row
select k.dispatch_id, k.channel, k.endpoint_id, k.account_id, k.contact_id, k.segment, k.shown,
       coalesce(c.standing, k.standing), k.taken, k.reason, k.covered, coalesce(c.usable, k.usable),
       coalesce(c.told_at, k.told_at)
from known k left join cover c using (dispatch_id, channel, endpoint_id)
"""
# Social counts for nobody: it has no contact.
PERSON_SQL: Final = """
insert into report_person
select dispatch_id, contact_id, min(account_id), min(segment), min(standing),
       bool_or(usable), min(told_at)
from report_row where contact_id is not null group by dispatch_id, contact_id
"""


class Standing(IntEnum):
    """Where a person stands with one update, best first: the best of their deliveries counts."""

    NOTIFIED = 0  # proof: delivered or displayed
    UNDER_WAY = 1  # queued, sending or retrying
    UNPROVEN = 2  # a provider took it, no proof yet
    UNCONFIRMED = 3  # nobody knows whether it left
    NOT_REACHED = 4  # every way failed; a banner nobody has looked at is no way yet
    WITHDRAWN = 5  # cancelled, or replaced by a newer update


class _Combination(NamedTuple):
    """What the shown status depends on, and what follows from it; in the order of ROW_SQL."""

    state: int
    slice_state: int
    again: bool
    evidence: int
    passive: bool
    shown: Shown
    standing: Standing
    taken: bool


def standing(status: Shown, *, passive: bool) -> Standing:
    """What one delivery's status means for its person; `passive`: it waits for them, as banners do."""
    match status:
        case Shown.DELIVERED | Shown.DISPLAYED | Shown.POSTED:
            return Standing.NOTIFIED
        case Shown.QUEUED | Shown.SENDING | Shown.RETRYING:
            return Standing.UNDER_WAY
        case Shown.ACCEPTED:
            return Standing.NOT_REACHED if passive else Standing.UNPROVEN
        case Shown.UNCONFIRMED:
            return Standing.UNCONFIRMED
        case Shown.FAILED | Shown.EXPIRED | Shown.SUPPRESSED | Shown.UNREACHABLE:
            return Standing.NOT_REACHED
        case Shown.CANCELLED | Shown.SUPERSEDED:
            return Standing.WITHDRAWN
        case _:
            assert_never(status)


def taken_by_provider(state: DeliveryState, evidence: int) -> bool:
    """Whether some attempt was certainly accepted, by answer or by receipt."""
    return state is DeliveryState.ACCEPTED or bool(
        (evidence | evidence >> EARLIER_ATTEMPTS_SHIFT) & TAKEN_MASK
    )


@asynccontextmanager
async def gathered(conn: Connection, update_id: int) -> AsyncIterator[None]:
    """Inside, `report_row` and `report_person` hold the update's deliveries and people, all waves.

    One statement reads the deliveries, so the numbers fit together; statuses are those of its moment.
    """
    async with conn.transaction():
        # A million deliveries take longer to read than any statement of the flow may.
        await conn.execute(_LIMITS)
        await conn.execute(CREATE_SQL)
        await conn.execute(RAW_SQL, update_id, TOLD_CODES)
        combinations = [_combination(row) for row in await conn.fetch(COMBINATIONS_SQL, _BANNER)]
        await conn.execute(ROW_SQL, *_columns(combinations), Standing.NOTIFIED)
        await conn.execute(PERSON_SQL)
        yield
        # Not left to the commit: the caller may hold a transaction and gather twice.
        await conn.execute(DROP_SQL)


def _combination(row: asyncpg.Record) -> _Combination:
    state, evidence = DeliveryState(row["state"]), row["evidence"]
    attempt = 2 if row["again"] else 1
    status = shown(state, SliceState(row["slice_state"]), attempt, evidence)
    return _Combination(
        **row,
        shown=status,
        standing=standing(status, passive=row["passive"]),
        taken=taken_by_provider(state, evidence),
    )


def _columns(combinations: Sequence[_Combination]) -> list[list[object]]:
    if not combinations:
        return [[] for _ in _Combination._fields]
    return [list(column) for column in zip(*combinations, strict=True)]
