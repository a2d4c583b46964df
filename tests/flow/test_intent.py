"""What is looked at again in the last moment: newer updates, quiet hours, wishes, addresses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.rules.punctuality import LATE
from dispatcher.rules.reasons import REASONS
from dispatcher.rules.states import DeliveryState
from dispatcher.sandbox import Provider, RunningSandbox
from dispatcher.stages import control, send
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.send.claim import claim
from dispatcher.stages.send.intent import commit_intent
from segments.consents import unsubscribe
from segments.records import ContactIn
from segments.store import erase_contact, upsert_contacts
from tests.flow.story import (
    MovableClock,
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

MAIL_ALONE: dict[str, Any] = {"phone": None, "app_user": None, "sms_consent": None}
QUIET: dict[str, Any] = {"quiet_from": "22:00", "quiet_until": "07:00", "time_zone": "UTC"}
ELSEWHERE = "new@example.com"


def by_mail(number: int, **more: Any) -> ContactIn:
    return contact(number, "small", **{**MAIL_ALONE, **more})


@pytest.fixture
def clock() -> MovableClock:
    """An evening, before anybody's quiet hours."""
    return MovableClock(datetime.now(UTC).replace(hour=20, minute=14, second=0, microsecond=0))


async def planned(ctx: Context, *people: ContactIn, **more: Any) -> AcceptedUpdate:
    """An update to these people, planned and not yet released."""
    await seed(ctx, people)
    accepted = await post(ctx, update(ctx, **more))
    await plan_out(ctx, accepted)
    return accepted


def for_hours(ctx: Context) -> dict[str, str]:
    """Facts that do not grow stale before the quiet hours end."""
    return {"next_update_by": (ctx.now() + timedelta(hours=20)).isoformat()}


async def newer(ctx: Context) -> AcceptedUpdate:
    accepted = await post(
        ctx, update(ctx, status="identified", facts={"impact": "No card payment works."})
    )
    await plan_out(ctx, accepted)
    return accepted


async def people_changed(ctx: Context, *people: ContactIn) -> None:
    async with ctx.pool.acquire() as conn:
        outcome = await upsert_contacts(
            conn, list(enumerate(people)), hash_key=ctx.address_key, now=ctx.now()
        )
    assert not outcome.problems


async def reasons(ctx: Context, accepted: AcceptedUpdate) -> list[str]:
    """The words of the mails' reasons; the counters agree with the rows meanwhile."""
    assert await recounted(ctx, accepted.update_id) == await statuses(ctx, accepted.dispatch_id)
    rows = await ctx.pool.fetch(
        "select reason from delivery where update_id = $1 and channel = 1 order by contact_version",
        accepted.update_id,
    )
    return [REASONS[row["reason"]].code for row in rows]


async def shown(ctx: Context, accepted: AcceptedUpdate) -> dict[str, int]:
    """Mails by status; nobody here has another address."""
    found = await statuses(ctx, accepted.dispatch_id)
    return {word: n for word, n in found.items() if word != "unreachable"}


async def cancel(ctx: Context, accepted: AcceptedUpdate) -> None:
    assert accepted.dispatch_id is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        await control.cancel(conn, accepted.dispatch_id, now=ctx.now())


def mailed(sandbox: RunningSandbox) -> set[str]:
    return {entry.to for entry in sandbox.ledger.entries(Provider.SENDGRID)}


async def test_a_newer_update_that_was_cancelled_does_not_silence_the_older_one(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    old = await planned(ctx, by_mail(1))
    await cancel(ctx, await newer(ctx))
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1
    assert await shown(ctx, old) == {"accepted": 1}


@pytest.mark.parametrize(
    "state",
    [
        DeliveryState.PLANNED,
        DeliveryState.ACCEPTED,
        DeliveryState.REJECTED,
        DeliveryState.UNCONFIRMED,
        DeliveryState.EXPIRED,
    ],
    ids=lambda state: state.name,
)
async def test_a_newer_update_that_went_its_way_replaces_the_older_one(
    ctx: Context, sandbox: RunningSandbox, state: DeliveryState
) -> None:
    old = await planned(ctx, by_mail(1))
    new = await newer(ctx)
    await ctx.pool.execute(
        "update delivery set state = $2 where update_id = $1", new.update_id, state
    )
    await ctx.pool.execute(
        "update slice set not_before = 'infinity' where update_id = $1", new.update_id
    )
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await reasons(ctx, old) == ["newer_update"]


async def test_who_never_heard_of_trouble_does_not_hear_of_it_after_its_end(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    old = await planned(ctx, by_mail(1))
    end = await post(ctx, update(ctx, status="resolved", facts={"impact": "All is well again."}))
    await plan_out(ctx, end)
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await reasons(ctx, end) == ["never_told"]
    assert await reasons(ctx, old) == ["newer_update"]


async def test_an_update_that_replaced_an_older_one_and_was_cancelled_silences_nobody(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    old = await planned(ctx, by_mail(1))
    middle, newest = await newer(ctx), await newer(ctx)
    await ctx.pool.execute(
        "update slice set not_before = 'infinity' where update_id = any($1)",
        [old.update_id, newest.update_id],
    )
    await send_all(ctx)
    assert await reasons(ctx, middle) == ["newer_update"]
    await cancel(ctx, newest)
    await ctx.pool.execute("update slice set not_before = $1", ctx.now())
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1
    assert await shown(ctx, old) == {"accepted": 1}


async def test_what_was_held_up_into_the_quiet_hours_waits_for_their_end(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    accepted = await planned(
        ctx, by_mail(1, **QUIET), by_mail(2), incident={"severity": "P2"}, facts=for_hours(ctx)
    )
    clock.move(timedelta(hours=6))
    await send_all(ctx)
    assert mailed(sandbox) == {"person2@example.com"}
    assert await shown(ctx, accepted) == {"accepted": 1, "queued": 1}
    clock.move(timedelta(hours=5))
    await send_all(ctx)
    assert mailed(sandbox) == {"person1@example.com", "person2@example.com"}
    assert await reasons(ctx, accepted) == ["", ""]


async def test_quiet_hours_do_not_hold_back_what_is_urgent(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    await planned(ctx, by_mail(1, **QUIET), facts=for_hours(ctx))
    clock.move(timedelta(hours=6))
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1


async def test_what_would_be_too_old_after_the_quiet_hours_expires(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    hours = {"next_update_by": (ctx.now() + timedelta(hours=8)).isoformat()}
    accepted = await planned(ctx, by_mail(1, **QUIET), incident={"severity": "P2"}, facts=hours)
    clock.move(timedelta(hours=6))
    await send_all(ctx)
    assert len(sandbox.ledger) == 0
    assert await reasons(ctx, accepted) == ["time_to_live"]


async def test_who_unsubscribes_before_the_intent_is_not_mailed(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted = await planned(ctx, by_mail(1), by_mail(2))
    endpoint = await ctx.pool.fetchval(
        "select endpoint_id from delivery where channel = 1 order by contact_version"
    )
    async with ctx.pool.acquire() as conn:
        assert await unsubscribe(conn, endpoint, ctx.now()) == 1
    await send_all(ctx)
    assert len(mailed(sandbox)) == 1
    assert await reasons(ctx, accepted) == ["unsubscribed", ""]
    assert await shown(ctx, accepted) == {"accepted": 1, "suppressed": 1}


async def test_a_wish_for_the_component_outranks_a_general_no_at_the_intent_too(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    await planned(ctx, by_mail(1))
    no = {"channel": "email", "wanted": False}
    yes = {"component": "checkout", "channel": "email", "wanted": True}
    await people_changed(ctx, by_mail(1, subscriptions=[no, yes]))
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1


@pytest.mark.parametrize(("both", "mails"), [(False, 1), (True, 0)], ids=["one", "both"])
async def test_an_inbox_is_spared_once_nobody_who_was_to_read_there_wants_it(
    ctx: Context, sandbox: RunningSandbox, *, both: bool, mails: int
) -> None:
    shared: dict[str, Any] = {"email": "ops@example.com"}
    await planned(ctx, by_mail(1, **shared), by_mail(2, **shared))
    no = {"subscriptions": [{"channel": "email", "wanted": False}]}
    leaving = [by_mail(n, **shared, **no) for n in ((1, 2) if both else (1,))]
    await people_changed(ctx, *leaving)
    await send_all(ctx)
    assert sandbox.ledger.accepted[Provider.SENDGRID] == mails


async def test_an_address_that_changed_is_not_called_an_erasure(
    ctx: Context, sandbox: RunningSandbox
) -> None:
    accepted = await planned(ctx, by_mail(1), by_mail(2), by_mail(3))
    await people_changed(ctx, by_mail(1, email=ELSEWHERE))
    async with ctx.pool.acquire() as conn:
        assert await erase_contact(conn, "c2", ctx.now())
    await send_all(ctx)
    assert mailed(sandbox) == {"person3@example.com"}
    assert await reasons(ctx, accepted) == ["address_changed", "erased", ""]


async def test_a_slice_whose_moment_passes_before_its_intent_gets_another_moment(
    ctx: Context, sandbox: RunningSandbox, clock: MovableClock
) -> None:
    accepted = await planned(ctx, by_mail(1))
    (slice_id,) = await release_all(ctx)
    held = await claim(ctx, slice_id)
    assert held is not None
    clock.move(held.slice["start_at"] - ctx.now() + 2 * LATE)
    async with ctx.pool.acquire() as conn, conn.transaction():
        assert await commit_intent(conn, ctx, held, ended=False) is None
    assert await shown(ctx, accepted) == {"queued": 1}
    assert await release_all(ctx) == [slice_id]
    again = await ctx.pool.fetchval("select start_at from slice where id = $1", slice_id)
    assert again > ctx.now()
    await send.run(ctx, slice_id)
    assert await shown(ctx, accepted) == {"accepted": 1}
    assert sandbox.ledger.accepted[Provider.SENDGRID] == 1
