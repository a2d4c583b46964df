"""Whatever a group of alerts does, in whatever order and however often it is told."""

from datetime import timedelta
from random import Random

import pytest

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from dispatcher.pipeline import release_update
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


OPEN_RESOLUTIONS = """
select incident_id from incident_update where state = 'draft' and status = 'resolved'
"""
# What a person's word has overtaken stays for them to look at, and is none of these.
TWO_LIVE_DRAFTS = """
select incident_id, status = 'resolved' as over from incident_update u
where state = 'draft' and not exists (
    select from incident_update n
    where n.incident_id = u.incident_id and n.seq > u.seq and n.state not in ('draft', 'cancelled'))
group by 1, 2 having count(*) > 1
"""
TOLD = """
select incident_id from incident_update where state not in ('draft', 'cancelled')
"""
NEWEST_DRAFT = """
select u.id from incident_update u where u.state = 'draft' and not exists (
    select from incident_update n
    where n.incident_id = u.incident_id and n.seq > u.seq and n.state not in ('draft', 'cancelled'))
order by u.id desc limit 1
"""
WORDS = {"title": "Checkout is slow", "impact": "Some payments take a minute."}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("seed", range(3))
async def test_a_group_that_customers_were_told_of_has_a_resolution_only_while_all_of_it_is_over(
    api: Api, ctx: Context, clock: MovableClock, seed: int
) -> None:
    """Now and then a person sends what waits, an opening or a resolution."""
    rng = Random(seed)
    words = {**WORDS, "next_update_by": (ctx.now() + timedelta(days=9)).isoformat()}
    sender = await source(
        api, Kind.ALERTMANAGER, mode="draft", component_ids=["checkout"], prepared=words
    )
    group = {name: alert(name, firing=False) for name in NAMES}
    seen: set[tuple[bool, bool, bool]] = set()
    for step in range(60):
        clock.move(timedelta(minutes=rng.choice([0, 1, 30, 61, 90])))
        name = rng.choice(NAMES)
        begun = {"startsAt": f"2026-11-22T14:{step:02d}:00Z"}
        # It begins with trouble: an end of what we never heard of is proposed all the same.
        group[name] = alert(name, firing=step == 0 or rng.random() < 0.3) | begun
        answer = await sender.send(alertmanager(*group.values()), ctx.now())
        assert answer.status in {200, 202}, answer.body
        assert not await ctx.pool.fetch(TWO_LIVE_DRAFTS)
        firing = any(one["status"] == "firing" for one in group.values())
        (newest,) = await ctx.pool.fetch("select * from incident order by id desc limit 1")
        told = newest["id"] in {row["incident_id"] for row in await ctx.pool.fetch(TOLD)}
        open_ones = {row["incident_id"] for row in await ctx.pool.fetch(OPEN_RESOLUTIONS)}
        over = newest["status"] == "resolved"
        proposed = newest["id"] in open_ones
        assert proposed is (told and not firing and not over), (step, told, firing, over)
        seen.add((told, firing, over))
        waiting = await ctx.pool.fetchval(NEWEST_DRAFT)
        if waiting is not None and rng.random() < 0.6:
            async with ctx.pool.acquire() as conn, conn.transaction():
                await release_update(conn, ctx, waiting, now=ctx.now())
    # Or the walk would have tried too little.
    assert {
        (True, True, False),
        (True, False, False),
        (True, False, True),
        (False, True, False),
    } <= seen


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
