"""Fault 34: the wall clock of a machine is wrong, and jumps. Fault 43: two do what one should do."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tests.chaos.harness import Product
from tests.chaos.people import WITHOUT, body, crowd
from tests.chaos.processes import until
from tests.chaos.test_database_link import said
from tests.flow.story import contact, seed

pytestmark = pytest.mark.timeout(120)

HOUR_S = 3600.0
JUMP_S = 3.0


def astray(first: float, then: float) -> dict[str, object]:
    """A process whose wall clock is wrong by so many seconds, and after a while by so many."""
    return {
        "TEST__FAILPOINTS": "true",
        "TEST__WALL_ERRORS": orjson.dumps([(0.0, first), (JUMP_S, then)]).decode(),
    }


def clock_in(minutes: int) -> str:
    """What people's clocks in UTC show then."""
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%H:%M}"


def minor(product: Product, number: int) -> dict[str, Any]:
    """For which nobody is woken, and of no use after forty minutes."""
    stale = (datetime.now(UTC) + timedelta(minutes=40)).isoformat()
    incident = {"external_id": f"INC-{number}", "severity": "P2"}
    return body(product.ctx, incident=incident, facts={"next_update_by": stale})


@pytest.mark.fault(34)
async def test_workers_an_hour_ahead_and_behind_tell_nobody_early_and_give_nobody_up(
    product: Product,
) -> None:
    asleep = {"quiet_from": clock_in(-60), "quiet_until": clock_in(30), "time_zone": "UTC"}
    sleeper = contact(99, "small", **{**WITHOUT, "email": "asleep@example.com", **asleep})
    await crowd(product.ctx, mails=4)
    await seed(product.ctx, [sleeper])
    await product.start_web()
    began = asyncio.get_running_loop().time()
    ahead = await product.start_workers(1, astray(HOUR_S, -HOUR_S))
    behind = await product.start_workers(1, astray(-HOUR_S, HOUR_S))
    for number in (1, 2):
        answer = await product.post("/v1/updates", minor(product, number), key=f"alert-{number}")
        assert answer.status == 202, answer

        async def told(number: int = number) -> bool:
            return await product.statuses() == {"delivered": 4 * number, "queued": number}

        await until(told, within=20, what="those awake should be told", watched=[*ahead, *behind])
        # The second one goes out with all clocks having jumped.
        await asyncio.sleep(max(0.0, began + JUMP_S + 1 - asyncio.get_running_loop().time()))
    acceptances = await product.acceptances()
    assert (len(acceptances), set(acceptances.values())) == (8, {1})
    waiting = "slice where state = 0 and not_before between now() and now() + interval '31 minutes'"
    assert await product.count(waiting) == 2
    assert await product.count("slice where maybe_duplicate") == 0
    assert [said(worker)["machine_clock_skewed"] for worker in (*ahead, *behind)] == [1, 1]


@pytest.mark.fault(43)
async def test_a_worker_stopped_and_continued_and_the_one_that_did_its_work_do_nothing_twice(
    product: Product,
) -> None:
    await crowd(product.ctx, mails=8, texts=150)
    await product.start_web()
    workers = await product.start_workers(2)
    await product.announce()

    async def sending() -> bool:
        return len(await product.providers.ledger()) > 30

    await until(sending, within=30, what="messages should leave", watched=workers)
    workers[0].send(signal.SIGSTOP)
    # Longer than a lease: whatever its clocks were at, the other's have done it meanwhile.
    await asyncio.sleep(3.5)
    workers[0].send(signal.SIGCONT)
    await product.settle(within=40)
    acceptances = await product.acceptances()
    assert (len(acceptances), set(acceptances.values())) == (158, {1})
    assert (await product.differences()).total == 0
