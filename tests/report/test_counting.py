"""Counting, without a database where none is needed: parts add up, and SQL and Python say the same."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.model import ChannelKind
from dispatcher.db import Connection
from dispatcher.rules.states import DeliveryState, Shown, SliceState, shown
from dispatcher.stages.report.document import SegmentCount
from dispatcher.stages.report.gather import Cell
from dispatcher.stages.report.kinds import KIND, Standing, account_standing, kind
from dispatcher.stages.report.model import AccountStanding, FunnelRow
from dispatcher.stages.report.people import FAILED, failures, funnel, judge
from segments.model import Exclusion
from tests.report.rows import at

DELIVERIES = st.tuples(
    st.sampled_from(DeliveryState),
    st.sampled_from(SliceState),
    st.integers(1, 3),
    st.integers(0, 2**31 - 1),
    st.sampled_from(ChannelKind),
)
NUMBERS = st.builds(
    lambda state, slice_state, evidence: evidence << 16 | state << 8 | slice_state << 4,
    st.sampled_from(DeliveryState),
    st.sampled_from(SliceState),
    st.integers(0, 2**31 - 1),
)
CELLS = st.lists(
    st.builds(
        Cell,
        dispatch_id=st.just(1),
        segment=st.sampled_from(["", "smb", "enterprise"]),
        channel=st.integers(1, 4),
        kind=NUMBERS.map(kind),
        reason=st.sampled_from([0, Exclusion.NO_ADDRESS, Exclusion.SHARED_INBOX, 33]),
        n=st.integers(1, 1000),
    )
)
PEOPLE = st.integers(0, 3)


@pytest.mark.parametrize("channel", ChannelKind)
async def test_a_kind_is_taken_apart_into_what_it_was_put_together_from(
    conn: Connection, channel: ChannelKind
) -> None:
    cases = [
        (state, slice_state, attempt, evidence)
        for state in DeliveryState
        for slice_state in SliceState
        for attempt in (1, 2)
        for evidence in (0, 4, 2048, 4 << 16, 2**31 - 1)
    ]
    numbers = await conn.fetch(
        f"""select {KIND} as kind from unnest($1::smallint[], $2::smallint[], $3::smallint[], $4::int[])
            with ordinality as t(state, slice_state, attempt, evidence, place),
            lateral (select t.state, t.attempt, t.evidence, $5::smallint as channel) as d,
            lateral (select t.slice_state as state) as s order by place""",
        *(list(column) for column in zip(*cases, strict=True)),
        channel.code,
    )
    for case, row in zip(cases, numbers, strict=True):
        its = kind(row["kind"])
        assert its.shown is shown(*case)
        if its.shown is Shown.ACCEPTED:
            waits = Standing.NOT_REACHED if channel is ChannelKind.BANNER else Standing.UNPROVEN
            assert its.standing is waits


@given(CELLS)
def test_each_step_of_a_funnel_is_part_of_the_one_before_it(cells: list[Cell]) -> None:
    rows = funnel(cells)
    assert sum(row.targeted for row in rows) == sum(cell.n for cell in cells)
    for row in rows:
        assert row.targeted >= row.reachable >= row.notified
        unproven = row.reachable - row.notified - row.failed - row.waiting
        assert unproven == _accepted_without_proof(cells, row)


def _accepted_without_proof(cells: list[Cell], row: FunnelRow) -> int:
    return sum(
        cell.n
        for cell in cells
        if cell.kind.shown is Shown.ACCEPTED
        and (cell.segment or "public") == row.segment
        and ChannelKind.from_code(cell.channel).value == row.channel
    )


@given(CELLS)
def test_failures_are_counted_once_most_frequent_first(cells: list[Cell]) -> None:
    found = failures(cells)
    lost = [cell.n for cell in cells if cell.kind.shown in FAILED and not cell.covered]
    assert sum(item.n for item in found) == sum(lost)
    assert all(one.n >= other.n for one, other in pairwise(found))
    assert len({(item.channel, item.shown, item.reason) for item in found}) == len(found)


@given(st.dictionaries(st.sampled_from(Standing), PEOPLE))
def test_an_account_is_told_only_when_nobody_of_it_waits_or_is_lost(
    people: dict[Standing, int],
) -> None:
    present = {standing for standing, n in people.items() if n}
    result = account_standing(people)
    lost = {Standing.NOT_REACHED, Standing.UNCONFIRMED}
    assert (result is AccountStanding.NOT_TOLD) == (
        bool(present & lost) and present <= lost | {Standing.WITHDRAWN}
    )
    assert (result is AccountStanding.TOLD) == (
        Standing.NOTIFIED in present and present <= {Standing.NOTIFIED, Standing.WITHDRAWN}
    )
    assert (result is AccountStanding.WITHDRAWN) == (present <= {Standing.WITHDRAWN})


@given(*[PEOPLE] * 6, st.integers(0, 20))
def test_a_promise_once_missed_is_never_open_or_met_later(
    on_time: int, late: int, under_way: int, unproven: int, unconfirmed: int, lost: int, later: int
) -> None:
    counted = SegmentCount(
        segment="smb",
        people=on_time + late + under_way + unproven + unconfirmed + lost,
        reachable=0,
        notified=on_time + late,
        under_way=under_way,
        unproven=unproven,
        unconfirmed=unconfirmed,
        not_reached=lost,
        withdrawn=0,
        on_time=on_time,
        seconds_to={},
    )
    deadline = at(10)
    states = [judge(counted, deadline, now=at(second)).state for second in (later, later + 1)]
    assert states[0] != "missed" or states[1] == "missed"
    assert (judge(counted, deadline, now=at(11)).state == "met") == (
        on_time > 0 and not (late or under_way or unproven or unconfirmed)
    )
