"""What operators and machines do: queue emptied, SIGSTOP, SIGTERM, restarts one after the other, cancel."""

import asyncio
import signal
from datetime import timedelta

import pytest

from dispatcher.web.banner.token import make_banner_token
from tests.chaos.harness import Product
from tests.chaos.people import body, by_mail, crowd
from tests.chaos.processes import until
from tests.flow.story import seed

pytestmark = pytest.mark.timeout(120)


# The first wake-up for every row vanishes as it is published.
EATER_SQL = """
create table eaten (event text primary key);
create function eat() returns trigger language plpgsql as $$
begin
    insert into eaten values (new.entrypoint || ':' || convert_from(new.payload, 'UTF8'))
    on conflict do nothing;
    if found then
        return null;
    end if;
    return new;
end $$;
create trigger eat before insert on pgqueuer for each row execute function eat();
"""


@pytest.mark.fault(51)
async def test_a_queue_that_loses_every_job_and_is_emptied_again_and_again_changes_nothing(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=20, texts=250)
    await product.ctx.pool.execute(EATER_SQL)
    await product.start_web()
    await product.start_workers(2)
    await product.announce()
    for _ in range(60):
        await product.ctx.pool.execute("delete from pgqueuer")
        await asyncio.sleep(0.05)
    await product.settle()
    for event in ("update.accepted", "update.approved", "slice.released", "receipts.arrived"):
        assert await product.count(f"eaten where event like '{event}%'") > 0, event
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (270, {1})
    assert (await product.differences()).total == 0
    assert await product.statuses() == {"delivered": 270}


HELD_SQL = "update slice set lease_until = clock_timestamp() + $1 where lease_until is not null"


@pytest.mark.fault(11)
async def test_workers_that_slept_past_their_lease_at_any_step_send_nothing_when_they_wake(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4)
    await product.start_web()
    sleepers = []
    for step in ("send.before_intent", "send.after_intent", "send.after_call"):
        sleepers.append(product.worker({step: "stop"}))
        posted = body(product.ctx, incident={"external_id": step})
        assert (await product.post("/v1/updates", posted, key=step)).status == 202
        await sleepers[-1].wait_until_stopped(within=60)
        # However long the next one takes to start, it finds nothing of this one's.
        await product.ctx.pool.execute(HELD_SQL, timedelta(hours=1))
    assert len(await product.providers.ledger()) == 4
    await product.ctx.pool.execute(HELD_SQL, timedelta())
    workers = await product.start_workers(2)

    async def all_told() -> bool:
        return len(await product.providers.ledger()) == 12

    await until(all_told, within=30, what="others should have sent the rest", watched=workers)
    for sleeper in sleepers:
        # It is awake and done with what it held when it can end in peace.
        sleeper.send(signal.SIGCONT)
        sleeper.send(signal.SIGTERM)
    assert [await sleeper.wait() for sleeper in sleepers] == [0, 0, 0]
    # Only now: asleep in its roll-up, it would keep the dispatch from being over.
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (12, {1})
    assert (await product.differences()).total == 0
    assert await product.count("slice where maybe_duplicate and n = 4 and state = 4") == 1


@pytest.mark.fault(10)
async def test_a_worker_told_to_stop_ends_what_it_has_begun_and_begins_nothing(
    product: Product,
) -> None:
    await crowd(product.ctx, texts=250)
    await product.providers.misbehave({"provider": "twilio", "kind": "slow", "seconds": 0.4})
    await product.start_web()
    (worker,) = await product.start_workers(1)
    await product.announce()

    async def has_begun() -> bool:
        return await product.count("slice where state = 2") > 0

    await until(has_begun, within=20, what="sending should have begun", watched=[worker])
    worker.send(signal.SIGTERM)
    assert await worker.wait() == 0
    assert await product.count("slice where state = 2") == 0
    assert await product.count("worker") == 0
    told = await product.acceptances()
    assert 0 < len(told) < 250
    await product.start_workers(2)
    await product.settle()
    assert await product.count("slice where ambiguous_at is not null") == 0
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (250, {1})
    assert (await product.differences()).total == 0


@pytest.mark.fault(10)
async def test_a_restart_of_one_process_after_the_other_under_load_doubles_and_loses_nothing(
    hurried: Product,
) -> None:
    await crowd(hurried.ctx, texts=120)
    reader = by_mail(500).model_copy(update={"email": None, "app_user": "reader"})
    await seed(hurried.ctx, [reader])
    web = await hurried.start_web()
    workers = await hurried.start_workers(2)
    await hurried.announce()
    token = make_banner_token(hurried.ctx, "reader", "small", hurried.ctx.now())
    async with hurried.http.get(
        f"http://127.0.0.1:{hurried.port}/v1/banner/stream",
        headers={"Authorization": f"Bearer {token}"},
    ) as stream:
        assert await stream.content.readline() == b"retry: 3000\n"
        web.send(signal.SIGTERM)
        # Every reader's stream ends in order: nobody is cut off in the middle of an event.
        assert (await stream.content.read()).endswith(b"\n\n")
    assert await web.wait() == 0
    await hurried.start_web()
    for worker in workers:
        await hurried.start_workers(1)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0
    await hurried.settle()
    told = await hurried.acceptances()
    assert (len(told), set(told.values())) == (120, {1})
    assert (await hurried.differences()).total == 0
    assert await hurried.count("slice where maybe_duplicate") == 0


async def test_a_dispatch_cancelled_in_mid_flight_says_exactly_how_many_were_spared(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=20, texts=350)
    await product.start_web()
    await product.start_workers(2)
    dispatch = await product.announce()

    async def texts_are_leaving() -> bool:
        return any(row.provider == "twilio" for row in await product.providers.ledger())

    await until(texts_are_leaving, within=20, what="texts should leave")
    answer = await product.post(f"{dispatch}/cancel")
    assert answer.status == 200
    spared = answer.body["changed"]
    at_once = answer.body["deliveries"]
    assert at_once["cancelled"] == spared
    assert sum(at_once.values()) - at_once["unreachable"] == 370
    await product.settle()
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (370 - spared, {1})
    assert await product.statuses() == {"delivered": 370 - spared, "cancelled": spared}
    assert (await product.differences()).total == 0
