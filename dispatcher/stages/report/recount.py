"""Recount what is kept as a count: the counters of slices, the counts of accounts, and who was told."""

from typing import Final

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.states import DeliveryState, SliceState, shown
from dispatcher.stages.report.rollup import mark, unlike

_BANNER: Final = ChannelKind.BANNER.code

CREATE_SQL: Final = """
create temp table recount (
    slice_id bigint, state smallint, slice_state smallint, again boolean, evidence int, n bigint
) on commit drop
"""
RECOUNT_SQL: Final = """
insert into recount
select d.slice_id, d.state, s.state, d.attempt > 1, d.evidence, count(*)
from delivery d join slice s on s.id = d.slice_id group by 1, 2, 3, 4, 5
"""
COMBINATIONS_SQL: Final = "select distinct state, slice_state, again, evidence from recount"
MISCOUNTED_SQL: Final = """
with m as (
    select * from unnest($1::smallint[], $2::smallint[], $3::boolean[], $4::int[], $5::int[])
                  as t(state, slice_state, again, evidence, shown)
), counted as (
    select r.slice_id, m.shown, sum(r.n) as n
    from recount r join m using (state, slice_state, again, evidence) group by 1, 2
), kept as (
    select s.id as slice_id, (t.i - 1)::int as shown, t.n
    from slice s, unnest(s.n_by_status) with ordinality as t(n, i) where t.n <> 0
)
select coalesce(array_agg(distinct slice_id order by slice_id), '{}') from (
    select slice_id from counted full join kept using (slice_id, shown)
    where counted.n is distinct from kept.n) as wrong
"""
DISPATCHES_SQL: Final = """
select d.id, d.update_id, r.of_mark from dispatch d left join dispatch_report r on r.dispatch_id = d.id
where d.update_id not in (select update_id from dispatch where state = 'planning')
order by d.id
"""


async def slices(conn: Connection) -> list[str]:
    """Slices whose counters do not say what a recount of their rows says."""
    await conn.execute(CREATE_SQL)
    await conn.execute(RECOUNT_SQL)
    rows = await conn.fetch(COMBINATIONS_SQL)
    combinations = [
        (
            row["state"],
            row["slice_state"],
            row["again"],
            row["evidence"],
            shown(
                DeliveryState(row["state"]),
                SliceState(row["slice_state"]),
                2 if row["again"] else 1,
                row["evidence"],
            ).value,
        )
        for row in rows
    ]
    columns = [list(column) for column in zip(*combinations, strict=True)] or [[] for _ in range(5)]
    wrong = await conn.fetchval(MISCOUNTED_SQL, *columns)
    await conn.execute("drop table recount")
    return [f"slice {number}" for number in wrong]


async def accounts(conn: Connection) -> list[str]:
    """Accounts whose counts of an update do not say what a recount says; update by update."""
    wrong: list[str] = []
    for update, stale in await _updates(conn):
        found = await unlike(conn, update, stale=stale)
        wrong += [f"account {account} of update {update}" for account in found]
    return wrong


async def _updates(conn: Connection) -> list[tuple[int, bool]]:
    """Updates that are planned, and whether a roll-up is outstanding for any of their waves."""
    stale: dict[int, bool] = {}
    for row in await conn.fetch(DISPATCHES_SQL):
        behind = row["of_mark"] != await mark(conn, row["id"])
        stale[row["update_id"]] = stale.get(row["update_id"], False) or behind
    return list(stale.items())
