"""One incident from the first update to the all-clear, stage by stage, through real adapters."""

from datetime import timedelta

from dispatcher.context import Context
from dispatcher.pipeline import release_update
from dispatcher.rules.states import SENT_AT, SHOWN_STATE, DeliveryState
from dispatcher.sandbox import Provider, RunningSandbox
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    contact,
    plan_out,
    post,
    recounted,
    seed,
    send_all,
    statuses,
    update,
)


async def test_an_update_reaches_every_channel_once_in_its_own_words(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    people = [contact(n, "big" if n < 3 else "small") for n in range(8)]
    await seed(ctx, people, tiers={"big": "enterprise"})
    accepted = await post(ctx, update(ctx, incident={"visibility": "public"}))
    await plan_out(ctx, accepted)
    assert await statuses(ctx, accepted.dispatch_id) == {"queued": 17, "accepted": 8}
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 8
    assert sandbox.ledger.accepted[Provider.TWILIO] == 8
    assert sandbox.ledger.accepted[Provider.X] == 1
    assert await statuses(ctx, accepted.dispatch_id) == {"accepted": 24, "posted": 1}
    assert await recounted(ctx, accepted.update_id) == {"accepted": 24, "posted": 1}
    mail = sandbox.ledger.entries(Provider.SENDGRID, to="person1@example.com")[0]
    assert "Person 1" in mail.html
    assert "[Acme Cloud] Some customers cannot check out (INC-42)" in mail.subject


async def test_sending_twice_is_impossible_by_running_a_stage_twice(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(4)])
    accepted = await post(ctx, update(ctx))
    for _ in range(2):
        await plan_out(ctx, accepted)
        await send_all(ctx)
    assert len(sandbox.ledger) == 8
    assert sum((await statuses(ctx, accepted.dispatch_id)).values()) == 12


async def test_the_all_clear_goes_to_those_who_were_told_and_to_nobody_else(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small")])
    first = await post(ctx, update(ctx))
    await plan_out(ctx, first)
    await send_all(ctx)
    await seed(ctx, [contact(1, "small"), contact(2, "small")])
    over = await post(ctx, update(ctx, status="resolved", facts={"next_update_by": None}))
    await plan_out(ctx, over)
    await send_all(ctx)
    assert (await statuses(ctx, over.dispatch_id))["superseded"] == 2
    told = {entry.to for entry in sandbox.ledger.entries(Provider.SENDGRID)}
    assert told == {"person1@example.com"}


async def test_a_newer_update_replaces_what_has_not_left(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])
    old = await post(ctx, update(ctx))
    await plan_out(ctx, old)
    new = await post(
        ctx, update(ctx, status="identified", facts={"impact": "Half of payments fail."})
    )
    await plan_out(ctx, new)
    await send_all(ctx)
    assert await statuses(ctx, old.dispatch_id) == {"superseded": 6, "accepted": 3}
    mails = sandbox.ledger.entries(Provider.SENDGRID)
    assert len(mails) == 3
    assert all("Half of payments fail." in mail.text for mail in mails)


async def test_what_is_too_old_to_help_is_not_sent(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    clock.move(timedelta(hours=9))
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await statuses(ctx, accepted.dispatch_id) == {"expired": 2, "accepted": 1}
    assert await recounted(ctx, accepted.update_id) == {"expired": 2, "accepted": 1}
    await apply_receipts(ctx)


async def test_a_promise_that_passed_while_nobody_planned_is_not_made_to_anybody(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx))
    clock.move(timedelta(minutes=61))
    await plan_out(ctx, accepted)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await statuses(ctx, accepted.dispatch_id) == {"expired": 2, "accepted": 1}


async def test_an_all_clear_outlives_the_promise_it_was_given_before(
    ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "small")])
    await plan_out(ctx, first := await post(ctx, update(ctx)))
    await send_all(ctx)
    clock.move(timedelta(minutes=59))
    body = update(ctx, status="resolved").model_dump(mode="json", exclude_unset=True)
    del body["facts"]
    over = await post(ctx, type(update(ctx)).model_validate(body))
    await plan_out(ctx, over)
    clock.move(timedelta(minutes=5))
    await send_all(ctx)
    assert await statuses(ctx, over.dispatch_id) == {"accepted": 3}
    assert first.incident_id == over.incident_id


async def test_a_draft_that_waited_long_is_fresh_when_it_is_released(
    ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "small")])
    promise = (ctx.now() + timedelta(hours=12)).isoformat()
    draft = await post(ctx, update(ctx, mode="draft", facts={"next_update_by": promise}))
    clock.move(timedelta(hours=9))
    async with ctx.pool.acquire() as conn, conn.transaction():
        released = await release_update(conn, ctx, draft.update_id, now=ctx.now())
    await plan_out(ctx, released)
    await send_all(ctx)
    assert await statuses(ctx, released.dispatch_id) == {"accepted": 3}


async def test_what_is_meant_for_some_accounts_is_not_posted_in_public(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "other")])
    accepted = await post(
        ctx, update(ctx, incident={"visibility": "public"}, audience={"account_ids": ["small"]})
    )
    await plan_out(ctx, accepted)
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.X] == 0


async def test_one_answer_that_takes_everybody_is_written_once_and_read_from_every_delivery(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(5)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    written = "select ctid::text, state, sent_at from delivery where channel = 1 order by 1"
    before = await ctx.pool.fetch(written)
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 5
    assert await ctx.pool.fetch(written) == before
    shown = await ctx.pool.fetch(
        f"""select {SHOWN_STATE} as state, {SENT_AT} = s.ended_at as at_the_end
            from delivery d join slice s on s.id = d.slice_id where d.channel = 1"""
    )
    assert [tuple(row) for row in shown] == 5 * [(DeliveryState.ACCEPTED, True)]
    assert await statuses(ctx, accepted.dispatch_id) == await recounted(ctx, accepted.update_id)
