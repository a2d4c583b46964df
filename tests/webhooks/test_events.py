"""What happens to updates, dispatches and deliveries is told: once, in batches, and without a name."""

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import orjson

from channels.model import Fact, Reason
from dispatcher.announce import BODY_LIMIT, EventType
from dispatcher.clocks.webhooks import wake_webhooks
from dispatcher.context import Context
from dispatcher.db import in_transaction
from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import EARLIER_ATTEMPTS_SHIFT, DeliveryState, SliceState, bit
from dispatcher.stages import report, track, webhooks
from dispatcher.stages.control import cancel
from dispatcher.stages.send.record import settle
from dispatcher.stages.webhooks.failures import LOOK_EVERY, WATCHED_FOR
from tests.chaos.people import crowd
from tests.flow.story import MovableClock, plan_out, post, update
from tests.races.moments import Flight, in_flight, lose, told_of
from tests.webhooks.hooks import Hook, hook, jobs
from tests.webhooks.receiver import Receiver

CLOSE_SQL = "update slice set state = 4, ended_at = $2 where id = $1"


async def told(ctx: Context, endpoint: Hook, receiver: Receiver) -> list[Any]:
    """What the receiver is told now, as JSON; it forgets what it was told."""
    await webhooks.run(ctx, endpoint.id)
    got = [item.json for item in receiver.got]
    receiver.got.clear()
    return got


async def look(ctx: Context, clock: MovableClock, flight: Flight) -> None:
    """The clock's next look at the failures of a dispatch."""
    clock.move(timedelta(minutes=3))
    assert flight.accepted.dispatch_id is not None
    await webhooks.tell_failures(ctx, flight.accepted.dispatch_id)


async def end(
    ctx: Context,
    flight: Flight,
    endpoints: Sequence[int],
    state: DeliveryState,
    reason: int = 0,
    *,
    place: SliceState = SliceState.IN_FLIGHT,
) -> None:
    """These deliveries come to an end, as the send stage writes it."""

    async def work(conn: Any) -> None:
        await settle(
            conn,
            flight.held.slice,
            endpoints,
            state=state,
            reason=reason,
            evidence=0,
            now=ctx.now(),
            slice_state=place,
        )

    await in_transaction(ctx.pool, work, rng=ctx.rng)


async def test_from_an_update_to_its_last_bounce_everything_is_told_once(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver)
    flight = await in_flight(ctx, mails=5)
    dispatch, public = flight.accepted.dispatch_id, ctx.signer.public_id
    assert dispatch is not None
    (published,) = await told(ctx, endpoint, receiver)
    assert published["type"] == "update.published"
    ids = {
        "incident_id": public("inc", flight.accepted.incident_id),
        "update_id": public("upd", flight.accepted.update_id),
        "dispatch_id": public("dsp", dispatch),
        "source": "monitoring",
        "external_id": "INC-42",
    }
    facts = {
        "severity": "P1",
        "visibility": "customers",
        "status": "investigating",
        "title": "Some customers cannot check out",
        "component_ids": ["checkout"],
    }
    assert published["data"].items() >= (ids | facts).items()

    # One is refused, one address did not exist; nothing else has ended.
    refused, bounced, *others = flight.endpoints
    await end(ctx, flight, [refused], DeliveryState.REJECTED, Reason.BLOCKED)
    await look(ctx, clock, flight)
    await look(ctx, clock, flight)
    (failed,) = await told(ctx, endpoint, receiver)
    assert failed["type"] == "delivery.failed"
    assert failed["data"].items() >= ids.items()
    (item,) = failed["data"]["deliveries"]
    assert failed["data"]["reasons"] == {"blocked": "Refused by the receiving side"}
    assert re.fullmatch(r"c\d", item.pop("contact"))
    assert item.pop("at").startswith(str(ctx.now().year))
    assert item == {
        "account": "small",
        "channel": "email",
        "purpose": "notice",
        "status": "failed",
        "reason": "blocked",
    }

    await end(ctx, flight, [bounced, *others], DeliveryState.ACCEPTED)
    await ctx.pool.execute(CLOSE_SQL, flight.held.id, ctx.now())
    await report.run(ctx, dispatch)
    await report.run(ctx, dispatch)
    (completed,) = await told(ctx, endpoint, receiver)
    assert completed["type"] == "dispatch.completed"
    # Each of them has no address on the two other channels.
    counts = {"accepted": 4, "failed": 1, "unreachable": 10}
    shown = {name: completed["data"].pop(name) for name in ("outcome", "total", "deliveries")}
    assert shown == {"outcome": "completed", "total": 15, "deliveries": counts}
    assert completed["data"].items() >= ids.items()
    path = f"/v1/dispatches/{ids['dispatch_id']}/report"
    assert completed["data"]["report_url"] == ctx.settings.public_url + path

    # Days later one bounces after all, and only that is told.
    clock.move(timedelta(days=2))
    await told_of(ctx, flight, Fact.BOUNCED_HARD, [bounced])
    await track.run(ctx, 0)
    await look(ctx, clock, flight)
    (late,) = await told(ctx, endpoint, receiver)
    assert [found["reason"] for found in late["data"]["deliveries"]] == ["unknown"]
    said = orjson.dumps([published, failed, completed, late]).decode()
    assert "@" not in said
    assert "Person" not in said, "neither an address nor a name"


async def test_a_thousand_failures_are_a_few_messages_that_fit(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver, EventType.DELIVERY_FAILED)
    flight = await in_flight(ctx, mails=230)
    await end(ctx, flight, flight.endpoints, DeliveryState.REJECTED, Reason.UNKNOWN_ADDRESS)
    await look(ctx, clock, flight)
    sizes = [len(item["data"]["deliveries"]) for item in await told(ctx, endpoint, receiver)]
    assert sorted(sizes) == [30, 100, 100]
    # Long names make them smaller, and no less complete.
    await ctx.pool.execute("update contact set external_id = repeat('\u00e4', 190) || id")
    await ctx.pool.execute("update failure_told set endpoint_ids = '{}', mark = 0")
    await look(ctx, clock, flight)
    await webhooks.run(ctx, endpoint.id)
    assert all(len(item.body) < BODY_LIMIT for item in receiver.got)
    people = [
        found["contact"] for item in receiver.got for found in item.json["data"]["deliveries"]
    ]
    assert len(people) == len(set(people)) == 230


async def test_doubt_is_told_when_it_is_decided_and_not_before(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    endpoint = await hook(ctx, receiver, EventType.DELIVERY_FAILED)
    flight = await in_flight(ctx, mails=3)
    await lose(ctx, flight.held)
    # An attempt before this one had failed; whether this one did, nobody knows yet.
    earlier = bit(Fact.UNDELIVERED) << EARLIER_ATTEMPTS_SHIFT
    await ctx.pool.execute("update delivery set evidence = $1 where channel = 1", earlier)
    await look(ctx, clock, flight)
    assert await told(ctx, endpoint, receiver) == []
    first, second, _ = flight.endpoints
    ambiguous = SliceState.AMBIGUOUS
    await end(ctx, flight, [first], DeliveryState.UNCONFIRMED, Decision.NO_PROOF, place=ambiguous)
    await end(ctx, flight, [second], DeliveryState.EXPIRED, Decision.TIME_TO_LIVE, place=ambiguous)
    await look(ctx, clock, flight)
    (event,) = await told(ctx, endpoint, receiver)
    found = [(item["status"], item["reason"]) for item in event["data"]["deliveries"]]
    assert sorted(found) == [("expired", "time_to_live"), ("unconfirmed", "no_proof")]


async def test_a_cancelled_dispatch_is_over_too(ctx: Context, receiver: Receiver) -> None:
    endpoint = await hook(ctx, receiver, EventType.DISPATCH_COMPLETED)
    await crowd(ctx, mails=3)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    assert accepted.dispatch_id is not None
    stop = partial(cancel, dispatch_id=accepted.dispatch_id, now=ctx.now())
    await in_transaction(ctx.pool, stop, rng=ctx.rng)
    (event,) = await told(ctx, endpoint, receiver)
    assert event["data"]["outcome"] == "cancelled"
    assert event["data"]["deliveries"] == {"cancelled": 3, "unreachable": 6}


async def test_drafts_and_canaries_are_nobodys_news(ctx: Context, receiver: Receiver) -> None:
    endpoint = await hook(ctx, receiver)
    await crowd(ctx, mails=2)
    draft = await post(ctx, update(ctx, mode="draft"))
    canary = await post(ctx, update(ctx, incident={"external_id": "canary-1"}))
    hide = "update incident set canary = true where id = $1"
    await ctx.pool.execute(hide, canary.incident_id)
    for accepted in (draft, canary):
        await plan_out(ctx, accepted)
    assert canary.dispatch_id is not None
    stop = partial(cancel, dispatch_id=canary.dispatch_id, now=ctx.now())
    await in_transaction(ctx.pool, stop, rng=ctx.rng)
    assert await told(ctx, endpoint, receiver) == []
    assert await ctx.pool.fetchval("select count(*) from failure_watch") == 0


async def test_failures_are_looked_for_only_where_somebody_asked_and_no_longer_than_a_week(
    ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    await hook(ctx, receiver, EventType.DISPATCH_COMPLETED)
    unheard = await in_flight(ctx, mails=1)
    assert await ctx.pool.fetchval("select count(*) from failure_watch") == 0
    await hook(ctx, receiver, EventType.DELIVERY_FAILED)
    accepted = await post(ctx, update(ctx, incident={"external_id": "INC-43"}))
    await plan_out(ctx, accepted)
    assert accepted.dispatch_id is not None
    await ctx.pool.execute("delete from pgqueuer")
    await wake_webhooks(ctx)
    assert await jobs(ctx) == [("failures.due", accepted.dispatch_id)]
    await webhooks.tell_failures(ctx, accepted.dispatch_id)
    due = "select due_at - $1 from failure_watch"
    assert await ctx.pool.fetchval(due, ctx.now()) >= LOOK_EVERY
    assert unheard.accepted.dispatch_id is not None
    await webhooks.tell_failures(ctx, unheard.accepted.dispatch_id)
    await ctx.pool.execute("update dispatch set completed_at = $1, state = 'completed'", ctx.now())
    clock.move(WATCHED_FOR + timedelta(minutes=1))
    await webhooks.tell_failures(ctx, accepted.dispatch_id)
    assert await ctx.pool.fetchval("select count(*) from failure_watch") == 0
