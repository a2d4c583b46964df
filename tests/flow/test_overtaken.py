"""What a newer update speaks for takes nothing from the flow of its sender."""

from collections import Counter
from datetime import timedelta

from dispatcher.context import Context
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.stages import send
from dispatcher.stages.accept import AcceptedUpdate
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
