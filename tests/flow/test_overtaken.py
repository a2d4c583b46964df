"""What a newer update speaks for takes nothing from the flow of its sender."""

from collections import Counter
from datetime import timedelta
from functools import partial
from itertools import pairwise

from dispatcher.context import Context
from dispatcher.db import in_transaction
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.stages import control, send
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.release import stage
from dispatcher.stages.release.overtaken import MOST_PEOPLE
from tests.chaos.people import by_text, crowd
from tests.flow.story import (
    MovableClock,
    plan_out,
    post,
    recounted,
    release_all,
    seed,
    send_all,
    statuses,
    update,
)

TEXTS = 300
SENDER_SQL = (
    "select distinct sender_id from slice where update_id = $1 and channel = 1 and state = 0"
)
ENDED_SQL = "select count(*) from delivery where state = 5"
GIVEN_A_MOMENT_SQL = """
select update_id, sum(n)::int as n from slice where channel = 2 and start_at is not null group by 1
"""


async def told(ctx: Context, number: int) -> AcceptedUpdate:
    """The update of that number about one incident, planned; nothing has left yet."""
    status = "investigating" if number == 0 else "identified"
    facts = {"impact": f"Payments fail, and we have looked {number} times."}
    accepted = await post(ctx, update(ctx, status=status, facts=facts))
    await plan_out(ctx, accepted)
    return accepted


async def given_a_moment(ctx: Context) -> Counter[int]:
    """How many texts of each update have, or had, a moment of their sender."""
    rows = await ctx.pool.fetch(GIVEN_A_MOMENT_SQL)
    return Counter({row["update_id"]: row["n"] for row in rows})


async def test_of_a_backlog_only_the_newest_update_of_an_incident_takes_from_the_senders_flow(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await crowd(ctx, texts=TEXTS)
    *older, newest = [await told(ctx, number) for number in range(4)]
    for _ in range(5):
        await send_all(ctx)
        clock.move(timedelta(seconds=1))
    assert await given_a_moment(ctx) == {newest.update_id: TEXTS}
    for one in older:
        counts = await recounted(ctx, one.update_id)
        assert counts["superseded"] == TEXTS
        assert await statuses(ctx, one.dispatch_id) == counts
    assert (await statuses(ctx, newest.dispatch_id))["accepted"] == TEXTS
    assert len(sandbox.ledger.entries(Provider.TWILIO)) == TEXTS


async def test_whom_the_newer_update_does_not_reach_gets_the_older_one(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await crowd(ctx, texts=4)
    older = await told(ctx, 0)
    # Whoever came later stands in the newer one alone, and those who were stopped there in the older one alone.
    await seed(ctx, [by_text(number) for number in range(4, 6)])
    newer = await told(ctx, 1)
    await ctx.pool.execute(
        "update delivery set state = 4, reason = 103, done_at = $2 where update_id = $1"
        " and endpoint_id in (select max(endpoint_id) from delivery where update_id = $3)",
        newer.update_id,
        ctx.now(),
        older.update_id,
    )
    await send_all(ctx)
    counts = await recounted(ctx, older.update_id)
    assert (counts["superseded"], counts["accepted"]) == (3, 1)
    assert await statuses(ctx, older.dispatch_id) == counts
    assert len(sandbox.ledger.entries(Provider.TWILIO)) == 6


async def test_a_newer_update_replaces_what_has_its_moment_already_and_has_not_left(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await crowd(ctx, texts=4)
    older = await told(ctx, 0)
    released = await release_all(ctx)
    await told(ctx, 1)
    for slice_id in released:
        await send.run(ctx, slice_id)
    assert not sandbox.ledger.entries(Provider.TWILIO)
    assert (await statuses(ctx, older.dispatch_id))["superseded"] == 4


async def test_what_is_cancelled_before_anything_of_it_left_has_replaced_nothing(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    """A mistake that was taken back: the update before it is all that anybody is told."""
    await crowd(ctx, texts=TEXTS)
    older, mistake = [await told(ctx, number) for number in range(2)]
    for _ in range(3):
        await release_all(ctx)
    assert set(await given_a_moment(ctx)) == {mistake.update_id}
    assert mistake.dispatch_id is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        await control.cancel(conn, mistake.dispatch_id, now=ctx.now())
    for _ in range(5):
        clock.move(timedelta(seconds=1))
        await send_all(ctx)
    counts = await recounted(ctx, older.update_id)
    assert (counts["accepted"], counts["superseded"]) == (TEXTS, 0)
    assert await statuses(ctx, older.dispatch_id) == counts
    assert len(sandbox.ledger.entries(Provider.TWILIO)) == TEXTS


async def test_a_newer_update_that_is_stopped_before_it_began_stands_in_nobodys_way(
    ctx: Context,
) -> None:
    await crowd(ctx, texts=4)
    older, newer = [await told(ctx, number) for number in range(2)]
    assert newer.dispatch_id is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        await control.pause(conn, newer.dispatch_id, now=ctx.now())
    await release_all(ctx)
    assert await given_a_moment(ctx) == {older.update_id: 4}


async def test_of_a_large_backlog_only_so_much_ends_in_a_turn_that_others_do_not_wait_for_long(
    ctx: Context,
) -> None:
    """A P0 wants the lock of the sender too."""
    await crowd(ctx, mails=MOST_PEOPLE // 2 + 100)
    *_, newest = [await told(ctx, number) for number in range(4)]
    (sender,) = await ctx.pool.fetch(SENDER_SQL, newest.update_id)
    turn = partial(stage.release, ctx=ctx, sender_id=sender["sender_id"])
    await in_transaction(ctx.pool, turn, rng=ctx.rng)
    await ctx.pool.execute("update slice set intent_at = start_at where start_at is not null")
    ended = []
    while await in_transaction(ctx.pool, turn, rng=ctx.rng):
        ended.append(await ctx.pool.fetchval(ENDED_SQL))
    assert 0 < ended[0] <= MOST_PEOPLE
    assert all(0 < later - before <= MOST_PEOPLE for before, later in pairwise(ended))
    assert ended[-1] == 3 * (MOST_PEOPLE // 2 + 100)
