"""People change their minds: pause, resume, cancel, with exact numbers; opt-outs bind at the intent."""

import pytest

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.states import SliceState
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.stages import send
from dispatcher.stages.control import Counts, cancel, pause, resume
from dispatcher.stages.send.claim import MAX_RECLAIMS, claim
from segments.model import Channel, SuppressionReason
from segments.store import erase_contact
from segments.suppressions import Why, add_suppression
from tests.flow.story import (
    contact,
    plan_out,
    post,
    recounted,
    release_all,
    seed,
    send_all,
    statuses,
    update,
)


async def in_transaction(ctx: Context, word: str, dispatch_id: int | None) -> Counts:
    assert dispatch_id is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        if word == "resume":
            return await resume(conn, dispatch_id)
        work = {"cancel": cancel, "pause": pause}[word]
        return await work(conn, dispatch_id, now=ctx.now())


async def test_a_paused_dispatch_holds_everything_and_goes_on_when_resumed(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    paused = await in_transaction(ctx, "pause", accepted.dispatch_id)
    assert paused == Counts(6, {"queued": 6, "accepted": 3})
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    await in_transaction(ctx, "resume", accepted.dispatch_id)
    await send_all(ctx)
    assert len(sandbox.ledger) == 6


async def test_pausing_stops_even_what_was_released_but_not_begun(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    released = await release_all(ctx)
    await in_transaction(ctx, "pause", accepted.dispatch_id)
    for slice_id in released:
        await send.run(ctx, slice_id)
    assert len(sandbox.ledger) == 0
    assert await statuses(ctx, accepted.dispatch_id) == {"queued": 6, "accepted": 3}
    await in_transaction(ctx, "resume", accepted.dispatch_id)
    await send_all(ctx)
    assert len(sandbox.ledger) == 6


async def test_cancel_withdraws_exactly_what_has_not_left(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    released = await release_all(ctx)
    await send.run(ctx, released[0])
    left = len(sandbox.ledger)
    assert left == 3
    done = await in_transaction(ctx, "cancel", accepted.dispatch_id)
    assert done == Counts(6, {"accepted": 3, "cancelled": 6})
    for slice_id in released:
        await send.run(ctx, slice_id)
    await send_all(ctx)
    assert len(sandbox.ledger) == left
    assert await recounted(ctx, accepted.update_id) == {"accepted": 3, "cancelled": 6}


async def test_what_is_over_cannot_be_cancelled_again(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx))
    await in_transaction(ctx, "cancel", accepted.dispatch_id)
    with pytest.raises(RefusedError, match="cancelled already"):
        await in_transaction(ctx, "cancel", accepted.dispatch_id)
    with pytest.raises(RefusedError, match="no such dispatch"):
        await in_transaction(ctx, "pause", 999)


async def test_an_opt_out_committed_before_the_intent_is_obeyed(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "small")])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    async with ctx.pool.acquire() as conn:
        await add_suppression(
            conn,
            Channel.EMAIL,
            "Person1@Example.com",
            Why(SuppressionReason.OPERATOR, "test"),
            hash_key=ctx.address_key,
            now=ctx.now(),
        )
    await send_all(ctx)
    assert [row.to for row in sandbox.ledger.entries(Provider.SENDGRID)] == ["person2@example.com"]
    assert (await statuses(ctx, accepted.dispatch_id))["suppressed"] == 1


async def test_an_erased_person_gets_nothing_that_was_already_planned(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "small")])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    async with ctx.pool.acquire() as conn:
        assert await erase_contact(conn, "c1", ctx.now())
    await send_all(ctx)
    assert {row.to for row in sandbox.ledger.entries(Provider.SENDGRID)} == {"person2@example.com"}
    assert (await statuses(ctx, accepted.dispatch_id))["unreachable"] == 2


async def test_a_shared_inbox_gets_one_mail_and_covers_the_other_contact(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    shared = {"email": "ops@example.com", "phone": None, "app_user": None, "sms_consent": None}
    await seed(ctx, [contact(1, "small", **shared), contact(2, "small", **shared)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1
    reasons = await ctx.pool.fetch(
        "select reason from delivery where update_id = $1 and channel = 1 order by 1",
        accepted.update_id,
    )
    assert [row["reason"] for row in reasons] == [0, 4]
    assert await recounted(ctx, accepted.update_id) == await statuses(ctx, accepted.dispatch_id)


async def test_a_process_without_credentials_does_not_stop_a_channel(
    ctx: Context, settings: Settings
) -> None:
    configured = "select configured from sender where channel = 1"
    assert await ctx.pool.fetchval(configured) is True
    async with running(settings):
        assert await ctx.pool.fetchval(configured) is True


async def lose_claims(ctx: Context, slice_id: int) -> None:
    """Whoever claims the slice dies."""
    for _ in range(MAX_RECLAIMS):
        assert await claim(ctx, slice_id) is not None
        await ctx.pool.execute(
            "update slice set lease_until = '2020-01-01' where id = $1", slice_id
        )
    assert await claim(ctx, slice_id) is None


async def test_a_slice_that_is_claimed_too_often_is_held_and_shown(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small", phone=None, app_user=None, sms_consent=None)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    (slice_id,) = await release_all(ctx)
    await lose_claims(ctx, slice_id)
    assert (
        await ctx.pool.fetchval("select state from slice where id = $1", slice_id)
        == SliceState.HELD
    )
    assert (await statuses(ctx, accepted.dispatch_id))["queued"] == 1
    assert await recounted(ctx, accepted.update_id) == await statuses(ctx, accepted.dispatch_id)


async def test_what_was_held_can_be_resumed_or_cancelled(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small", phone=None, app_user=None, sms_consent=None)])
    first = await post(ctx, update(ctx))
    await plan_out(ctx, first)
    for _ in range(2):
        (slice_id,) = await release_all(ctx)
        await lose_claims(ctx, slice_id)
        await in_transaction(ctx, "resume", first.dispatch_id)
    await send_all(ctx)
    assert len(sandbox.ledger) == 1


async def test_an_update_cancelled_before_anybody_was_told_never_happened(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    first = await post(ctx, update(ctx))
    await plan_out(ctx, first)
    await send_all(ctx)
    mistake = await post(ctx, update(ctx, status="resolved", facts={"next_update_by": None}))
    await plan_out(ctx, mistake)
    assert await ctx.pool.fetchval("select status from incident") == "resolved"
    done = await in_transaction(ctx, "cancel", mistake.dispatch_id)
    assert done.by_status == {"cancelled": 3}
    incident = await ctx.pool.fetchrow("select status, resolved_at from incident")
    assert incident is not None
    assert tuple(incident) == ("investigating", None)
    later = await post(ctx, update(ctx, status="identified"))
    assert later.state == "dispatching"


async def test_an_update_that_some_were_told_stays_on_the_record(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    released = await release_all(ctx)
    await send.run(ctx, released[0])
    await in_transaction(ctx, "cancel", accepted.dispatch_id)
    assert await ctx.pool.fetchval("select state from incident_update") == "planned"


async def test_cancelling_before_the_words_are_made_stops_everything(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx))
    await in_transaction(ctx, "cancel", accepted.dispatch_id)
    await plan_out(ctx, accepted)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await ctx.pool.fetchval("select count(*) from delivery") == 0
