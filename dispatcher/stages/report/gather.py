"""Lay one update's deliveries out for counting: one row a delivery with its kind, one a person.

Temporary tables, which vanish with the transaction: they bound the memory, and every count made of
them fits every other.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from channels.model import Fact
from dispatcher.db import Connection
from dispatcher.rules.states import SENT_AT, SETTLED_AT, Purpose, fact_code
from dispatcher.stages.report.kinds import KIND, Kind, Standing, kind
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
_COVERED: Final = Exclusion.SHARED_INBOX

# A million deliveries take longer to read than any statement of the flow may. On a fresh partition the
# planner believes in one row and would loop over all receipts for each delivery: whole updates are
# joined by hash.
_LIMITS: Final = """
set local statement_timeout = '10min'; set local work_mem = '64MB'; set local jit = off;
set local enable_nestloop = off; set local default_statistics_target = 10
"""
# The server lets each take ten minutes; an answer that is a minute late will not come.
LONG_S: Final = 660.0
LOOPS_SQL: Final = "set local enable_nestloop = on"
# person is the version of a contact: a fan-out plans each contact once, so it has one version there.
# kind decides what is shown, and what it means for the person, unless they stand as another does: `stands`.
CREATE_SQL: Final = """
create temp table report_row (
    dispatch_id bigint, person bigint, account_id bigint, endpoint_id bigint, kind bigint, stands bigint,
    told_at timestamptz, channel smallint, reason smallint, segment text
) on commit drop;
create temp table report_kind (
    kind bigint primary key, shown smallint, standing smallint, taken boolean, usable boolean
) on commit drop;
create temp table report_person (
    dispatch_id bigint, person bigint, account_id bigint, told_at timestamptz, standing smallint,
    reachable boolean, segment text
) on commit drop
"""
DROP_SQL: Final = "drop table report_row, report_kind, report_person"
# A copy for the public voice has no rendering segment of its own; '' stands for "the public". The
# account is asked only where there is no wording: a join would read all accounts.
ROW_SQL: Final = f"""
insert into report_row
select s.dispatch_id, d.contact_version, d.account_id, d.endpoint_id, {KIND}, null,
       coalesce(p.at, {SETTLED_AT}, {SENT_AT}), d.channel, d.reason,
       coalesce(r.segment, (select a.segment from account a where a.id = d.account_id), '')
from delivery d
join slice s on s.id = d.slice_id
            and s.dispatch_id = any(array(select id from dispatch where update_id = $1))
left join rendering r on r.id = s.rendering_id
left join (
    select channel, endpoint_id, min(at) as at from receipt
    where update_id = $1 and purpose = {Purpose.NOTICE:d} and matched and fact = any($2::smallint[])
    group by channel, endpoint_id
) as p on p.channel = d.channel and p.endpoint_id = d.endpoint_id
where d.update_id = $1 and d.purpose = {Purpose.NOTICE:d}
"""
CELLS_SQL: Final = """
select dispatch_id, segment, channel, kind, reason, count(*) as n
from report_row group by dispatch_id, segment, channel, kind, reason
"""
KINDS_SQL: Final = """
insert into report_kind
select * from unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::boolean[], $5::boolean[])
"""
# Whoever is covered by a shared inbox stands as the message to that inbox stands.
COVER_SQL: Final = f"""
with covered as materialized (
    select r.dispatch_id, r.channel, r.person, ce.endpoint_id
    from report_row r
    join contact_version v on v.id = r.person
    join contact_endpoint ce on ce.contact_id = v.contact_id and ce.channel = r.channel
    where r.reason = {_COVERED:d}
), cover as materialized (
    select distinct on (c.dispatch_id, c.channel, c.person)
           c.dispatch_id, c.channel, c.person, b.kind, b.told_at
    from covered c
    join report_row b using (dispatch_id, channel, endpoint_id)
    join report_kind k on k.kind = b.kind
    order by c.dispatch_id, c.channel, c.person, k.standing, b.told_at
)
update report_row r set stands = c.kind, told_at = c.told_at
from cover c
where r.reason = {_COVERED:d} and r.dispatch_id = c.dispatch_id and r.channel = c.channel
  and r.person = c.person
"""
# Social counts for nobody: it has no contact.
PERSON_SQL: Final = f"""
insert into report_person
select r.dispatch_id, r.person, min(r.account_id),
       min(r.told_at) filter (where k.standing = {Standing.NOTIFIED:d}), min(k.standing),
       bool_or(k.usable), any_value(r.segment)
from report_row r join report_kind k on k.kind = coalesce(r.stands, r.kind)
where r.person is not null group by r.dispatch_id, r.person
"""


class Cell(NamedTuple):
    """So many deliveries of one wave, segment, channel, kind and reason."""

    dispatch_id: int
    segment: str
    channel: int
    kind: Kind
    reason: int
    n: int

    @property
    def covered(self) -> bool:
        """A shared inbox speaks to these people; they were sent nothing of their own."""
        return self.reason == _COVERED


@asynccontextmanager
async def gathered(conn: Connection, update_id: int) -> AsyncIterator[list[Cell]]:
    """Inside, the three tables hold the update's deliveries and people, all waves; yields their cells.

    One statement reads the deliveries, so the numbers fit together; statuses are those of its moment.
    """
    async with conn.transaction():
        await conn.execute(_LIMITS)
        await conn.execute(CREATE_SQL)
        await conn.execute(ROW_SQL, update_id, TOLD_CODES, timeout=LONG_S)
        rows = await conn.fetch(CELLS_SQL, timeout=LONG_S)
        kinds = {number: kind(number) for number in {row["kind"] for row in rows}}
        cells = [Cell(**{**row, "kind": kinds[row["kind"]]}) for row in rows]
        await conn.execute(KINDS_SQL, *_columns(kinds))
        if any(cell.covered for cell in cells):
            await conn.execute(COVER_SQL, timeout=LONG_S)
        await conn.execute(PERSON_SQL, timeout=LONG_S)
        await conn.execute(LOOPS_SQL)
        await conn.execute("analyze report_row, report_kind, report_person", timeout=LONG_S)
        yield cells
        # Not left to the commit: the caller may hold a transaction and gather twice.
        await conn.execute(DROP_SQL)


def _columns(kinds: dict[int, Kind]) -> list[list[object]]:
    return [[item[place] for item in kinds.values()] for place in range(len(Kind._fields))]
