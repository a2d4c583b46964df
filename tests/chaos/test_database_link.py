"""Fault 13: the link to the database is dead or cut, and looks alive. Fault 47: notifications are lost."""

import asyncio
import signal
from collections import Counter

import orjson
import pytest

from tests.chaos.harness import Product
from tests.chaos.people import crowd
from tests.chaos.processes import Process, until
from tests.chaos.proxy import Link, link_to

pytestmark = pytest.mark.timeout(120)

# Every consumer tries again after pauses that double from 0.2 s, every clock at its own pace. What is
# seen is a third of it; a loop without a pause would make thousands.
FEW_A_SECOND = 60
DOUBTED_SQL = """
select count(*) from slice where ambiguous_at is not null and endpoint_ids && $1::bigint[]
"""


def behind(link: Link, **more: object) -> dict[str, object]:
    """A process that soon gives up on a link through which nothing gets."""
    return {
        "DATABASE__URL": link.dsn,
        "DATABASE__STATEMENT_TIMEOUT_S": 1,
        "DATABASE__LINK_TIMEOUT_S": 0.5,
        "DATABASE__CONNECT_TIMEOUT_S": 1,
        **more,
    }


def said(process: Process) -> Counter[str]:
    """How often a process has logged each event."""
    return Counter(orjson.loads(line)["event"] for line in process.log.read_bytes().splitlines())


async def everybody_told_once(product: Product, people: int) -> None:
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (people, {1})
    differences = await product.differences()
    assert (differences.total, differences.unconfirmed) == (0, 0), differences
    assert await product.statuses() == {"delivered": people}


@pytest.mark.fault(13)
async def test_answers_that_came_while_the_link_was_dead_are_recorded_when_it_is_back(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4, texts=30)
    await product.start_web()
    await product.providers.misbehave(
        *({"provider": name, "kind": "slow", "seconds": 0.5} for name in ("sendgrid", "twilio"))
    )
    async with link_to(product.ctx.dsn) as link:
        (worker,) = await product.start_workers(1, behind(link, WORKER__LEASE_S=9))
        await product.announce()

        async def sending() -> bool:
            return await product.count("slice where state = 2 and channel = 2") > 0

        await until(sending, within=30, what="texts should be under way", watched=[worker])
        link.freeze()
        await asyncio.sleep(3)
        answered = [endpoint for _, _, endpoint in await product.acceptances()]
        assert answered
        link.lose()
        await product.settle()
        assert worker.ended is None
    await everybody_told_once(product, 34)
    # An intent may have been committed without its worker being told so; of that nothing was sent.
    assert not await product.ctx.pool.fetchval(DOUBTED_SQL, answered)
    assert said(worker)["queue_lost"] > 0
    assert sum(said(worker).values()) < 3 * FEW_A_SECOND


@pytest.mark.fault(13)
async def test_who_is_cut_off_sends_nothing_after_the_lease_and_another_takes_over(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4, texts=20)
    await product.start_web()
    async with link_to(product.ctx.dsn) as link:
        # Longer than the lease lasts, which is renewed as long as the link lives.
        cut_off = product.worker({"send.after_intent": "delay:5"}, behind(link))
        await product.announce()

        async def intended() -> bool:
            return await product.count("slice where state = 2") > 1

        await until(intended, within=30, what="slices should be in flight", watched=[cut_off])
        link.freeze()
        others = await product.start_workers(1)
        await product.settle()

        async def awake() -> bool:
            wanted_to = said(cut_off)["lease_over_before_sending"] > 0
            return wanted_to or max((await product.acceptances()).values()) > 1

        await until(awake, within=20, what="the one cut off should want to send", watched=others)
        link.thaw()
        await product.settle()
        assert cut_off.ended is None
    assert await product.count("slice where maybe_duplicate") > 0
    told = await product.acceptances()
    assert (len(told), set(told.values())) == (24, {1})
    assert (await product.differences()).total == 0


@pytest.mark.fault(13)
async def test_processes_that_are_told_to_stop_end_in_peace_although_the_link_is_dead(
    product: Product,
) -> None:
    async with link_to(product.ctx.dsn) as link:
        (worker,) = await product.start_workers(1, behind(link, WORKER__DRAIN_S=1))
        web = await product.start_web(more=behind(link))
        link.freeze()
        for process in (web, worker):
            process.send(signal.SIGTERM)
        assert [await process.wait(within=30) for process in (web, worker)] == [0, 0]


@pytest.mark.fault(47)
async def test_work_is_found_within_seconds_although_no_notification_ever_arrives(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=4)
    # What pgqueuer's trigger says is lost, like notifications of a listener that has no link.
    await product.ctx.pool.execute("alter table pgqueuer disable trigger user")
    await product.start_web()
    await product.start_workers(1, {"WORKER__DEQUEUE_TIMEOUT_S": 0.5})
    loop = asyncio.get_running_loop()
    announced_at = loop.time()
    await product.announce()

    async def told() -> bool:
        return len(await product.providers.ledger()) == 4

    await until(told, within=10, what="everybody should be told")
    # Four stages, each found by a look every half second.
    assert loop.time() - announced_at < 6
    await product.settle()
    await everybody_told_once(product, 4)
