"""Whatever a group of alerts does, in whatever order and however often it is told."""

from datetime import timedelta
from random import Random

import pytest

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from tests.flow.story import MovableClock
from tests.intake.payloads import alert, alertmanager
from tests.intake.senders import source
from tests.web.client import Api

NAMES = ("a1", "a2", "a3")

# Incidents whose last word and drafts do not fit together.
TWO_DRAFTS = """
select incident_id, status = 'resolved' as over from incident_update
where state = 'draft' group by 1, 2 having count(*) > 1
"""
OPEN_OPENINGS = """
select incident_id from incident_update where state = 'draft' and status <> 'resolved'
"""


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("seed", range(3))
async def test_a_group_of_which_nobody_was_told_has_one_opening_draft_while_it_fires_and_none_when_not(
    api: Api, ctx: Context, clock: MovableClock, seed: int
) -> None:
    rng = Random(seed)
    sender = await source(api, Kind.ALERTMANAGER, mode="auto", component_ids=["checkout"])
    group = {name: alert(name, firing=False) for name in NAMES}
    told: list[bytes] = []
    for step in range(40):
        clock.move(timedelta(minutes=rng.choice([0, 1, 30, 61, 90])))
        name = rng.choice(NAMES)
        begun = {"startsAt": f"2026-11-22T14:{step:02d}:00Z"}
        group[name] = alert(name, firing=rng.random() < 0.3) | begun
        body = alertmanager(*group.values())
        answer = await sender.send(body, ctx.now())
        assert answer.status in {200, 202}, answer.body
        if rng.random() < 0.3:
            again = await sender.send(body, ctx.now())
            assert again.json.get("update_id") == answer.json.get("update_id")
        told.append(answer.body)
        assert not await ctx.pool.fetch(TWO_DRAFTS)
        firing = any(one["status"] == "firing" for one in group.values())
        # The group's present incident is the newest.
        newest = await ctx.pool.fetchval("select max(id) from incident")
        openings = [row["incident_id"] for row in await ctx.pool.fetch(OPEN_OPENINGS)]
        assert (newest in openings) is firing
    assert not await ctx.pool.fetchval("select count(*) from dispatch")
    # Or the walk would have tried too little.
    words = {word for word in (b'"extended"', b'"draft"') if any(word in item for item in told)}
    assert len(words) == 2
    assert await ctx.pool.fetchval("select count(*) from incident") > 1
