"""Pacing over real rows: P0 first, lower lanes not starved, nobody above a limit, everybody pauses."""

from collections import Counter
from datetime import timedelta

import aiohttp

from dispatcher.context import Context
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.stages import release
from tests.chaos.people import crowd
from tests.flow.story import (
    MovableClock,
    contact,
    plan_out,
    post,
    release_all,
    seed,
    send_all,
    statuses,
    update,
)

SMS = 2
COPY_SLICES_SQL = """
insert into slice (update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose, lane,
                   state, n, not_before, expires_at, endpoint_ids, n_by_status)
select s.update_id, s.incident_id, s.dispatch_id, s.rendering_id, s.sender_id, s.channel, s.purpose, $2,
       0, 1000, s.not_before, s.expires_at, '{}', s.n_by_status
from slice s, generate_series(1, $3) where s.channel = 2 and s.update_id = $1 and s.attempt = 1
"""


async def waiting_texts(ctx: Context, *, lane: int, slices: int) -> int:
    """`slices` thousand texts that wait in a lane; the id of their sender."""
    await seed(ctx, [contact(1, "small")])
    accepted = await post(
        ctx, update(ctx, incident={"external_id": f"INC-{lane}", "severity": "P2"})
    )
    await plan_out(ctx, accepted)
    first = await post(ctx, update(ctx, incident={"external_id": "INC-7"}))
    await plan_out(ctx, first)
    await ctx.pool.execute(COPY_SLICES_SQL, first.update_id, lane, slices)
    sender: int = await ctx.pool.fetchval("select id from sender where channel = $1", SMS)
    return sender


async def test_a_p0_text_does_not_stand_behind_a_hundred_thousand_waiting_ones(
    ctx: Context,
) -> None:
    await waiting_texts(ctx, lane=4, slices=100)
    urgent = await post(ctx, update(ctx, incident={"external_id": "INC-1", "severity": "P0"}))
    await plan_out(ctx, urgent)
    released = await release_all(ctx)
    rows = await ctx.pool.fetch(
        "select update_id, lane, start_at from slice where id = any($1) and channel = 2", released
    )
    first = min(rows, key=lambda row: row["start_at"])
    assert first["update_id"] == urgent.update_id
    assert first["start_at"] - ctx.now() < timedelta(seconds=1)


async def test_lower_lanes_keep_a_tenth_while_p0_never_ends(
    ctx: Context, clock: MovableClock
) -> None:
    sender = await waiting_texts(ctx, lane=4, slices=30)
    accepted = await post(ctx, update(ctx, incident={"external_id": "INC-9", "severity": "P0"}))
    await plan_out(ctx, accepted)
    await ctx.pool.execute(COPY_SLICES_SQL, accepted.update_id, 0, 200)
    await ctx.pool.execute("delete from slice where channel = 2 and n = 1")
    lanes: Counter[bool] = Counter()
    for _ in range(200):
        await release.run(ctx, sender)
        for row in await ctx.pool.fetch(
            "update slice set state = 4 where state = 1 and channel = 2 returning lane"
        ):
            lanes[row["lane"] == 0] += 1
        clock.move(timedelta(seconds=1))
    assert lanes[False] >= sum(lanes.values()) // 11
    assert lanes[True] >= lanes[False] * 8


async def test_a_paused_sender_releases_nothing_for_anybody(
    ctx: Context, clock: MovableClock
) -> None:
    sender = await waiting_texts(ctx, lane=3, slices=3)
    await ctx.pool.execute(
        "update sender set paused_until = $2 where id = $1",
        sender,
        ctx.now() + timedelta(seconds=30),
    )
    await release.run(ctx, sender)
    moved = "select count(*) from slice where sender_id = $1 and state = $2"
    assert await ctx.pool.fetchval(moved, sender, SliceState.RELEASED) == 0
    clock.move(timedelta(seconds=31))
    await release.run(ctx, sender)
    assert await ctx.pool.fetchval(moved, sender, SliceState.RELEASED) > 0


async def test_429_pauses_the_sender_and_burns_no_attempt(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    await post_fault(
        sandbox, {"provider": "sendgrid", "kind": "rate_limit", "retry_after": 20, "times": 1}
    )
    await send_all(ctx)
    sender = await ctx.pool.fetchrow("select * from sender where channel = 1")
    assert sender is not None
    assert sender["paused_why"] == "throttled"
    assert sender["paused_until"] - ctx.now() >= timedelta(seconds=15)
    attempts = await ctx.pool.fetch("select distinct attempt from delivery where channel = 1")
    assert [row["attempt"] for row in attempts] == [1]
    assert (await statuses(ctx, accepted.dispatch_id))["queued"] == 3
    clock.move(timedelta(seconds=25))
    await send_all(ctx)
    assert "queued" not in await statuses(ctx, accepted.dispatch_id)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 3


async def test_a_newer_update_waits_for_the_older_one_that_is_on_its_way(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    old = await post(ctx, update(ctx))
    await plan_out(ctx, old)
    await release_all(ctx)
    new = await post(ctx, update(ctx, status="identified", facts={"impact": "Cards fail."}))
    await plan_out(ctx, new)
    released = await release_all(ctx)
    rows = await ctx.pool.fetch("select update_id from slice where id = any($1)", released)
    assert {row["update_id"] for row in rows} == {old.update_id}


async def post_fault(sandbox: RunningSandbox, fault: dict[str, object]) -> None:
    """Switch a fault on, as a drill would: over HTTP."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.url}/sandbox/faults", json=fault) as answer,
    ):
        assert answer.status == 201, await answer.text()


async def test_what_one_turn_has_reserved_the_next_one_keeps_clear_of(ctx: Context) -> None:
    await crowd(ctx, texts=60)
    starts = []
    for number in range(2):
        accepted = await post(ctx, update(ctx, incident={"external_id": f"INC-{number}"}))
        await plan_out(ctx, accepted)
        await release_all(ctx)
        starts.append(
            await ctx.pool.fetchval(
                "select start_at from slice where update_id = $1 and channel = $2",
                accepted.update_id,
                SMS,
            )
        )
    assert starts[1] - starts[0] >= timedelta(seconds=0.6)
