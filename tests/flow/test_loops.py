"""Nothing stops silently: a clock that fails turns again, and a consumer whose listener is lost comes back."""

import asyncio

import asyncpg
import pytest
from pgqueuer.errors import FailingListenerError

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.jobs import Consumer, Event, Links, Pace, consume, publish, tick
from dispatcher.stages.send.claim import claim, give_back
from tests.flow.story import contact, eventually, plan_out, post, release_all, seed, update


async def test_a_clock_whose_turn_fails_turns_again() -> None:
    turns: list[int] = []
    stop = asyncio.Event()

    async def work() -> None:
        turns.append(1)
        if len(turns) < 3:
            raise LookupError("a bug")
        stop.set()

    await asyncio.wait_for(tick(work, every_s=0.01, stop=stop), 10)
    assert len(turns) == 3


async def test_a_consumer_that_cannot_connect_or_loses_its_listener_tries_again(
    database_url: str,
) -> None:
    done: list[int] = []
    failures = [FailingListenerError(), OSError("refused"), asyncpg.InterfaceError("closed")]
    stop = asyncio.Event()

    async def connect() -> Connection:
        if failures:
            raise failures.pop()
        return await asyncpg.connect(database_url)

    async def handler(key: int, _priority: int) -> None:
        done.append(key)
        stop.set()

    conn = await asyncpg.connect(database_url)
    await publish(conn, [Event("something", 7)])
    await conn.close()
    consumer = Consumer(name="test", handlers={"something": handler}, batch=1, concurrency=2)
    pace = Pace(heartbeat_s=1, dequeue_timeout_s=0.2)
    running = asyncio.create_task(consume(connect, consumer, pace=pace, links=Links(), stop=stop))

    async def finished() -> bool:
        return running.done()

    await eventually(finished, within=30, what="the consumer's end")
    running.result()
    assert done == [7]


@pytest.mark.fault(12)
async def test_nothing_spins_while_the_database_is_down() -> None:
    attempts: list[str] = []
    stop = asyncio.Event()

    async def connect() -> Connection:
        attempts.append("consumer")
        raise ConnectionRefusedError

    async def turn() -> None:
        attempts.append("clock")
        raise ConnectionRefusedError

    consumer = Consumer(name="test", handlers={}, batch=1, concurrency=2)
    pace = Pace(heartbeat_s=1, dequeue_timeout_s=0.2)
    loops = [
        asyncio.create_task(consume(connect, consumer, pace=pace, links=Links(), stop=stop)),
        asyncio.create_task(tick(turn, every_s=0.5, stop=stop)),
    ]
    await asyncio.sleep(3)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*loops), 10)
    # Pauses double from 0.2 s, with jitter from half to one and a half.
    assert 2 <= attempts.count("consumer") <= 6
    assert 2 <= attempts.count("clock") <= 8


async def test_a_slice_given_back_is_woken_again_while_its_old_job_still_runs(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small", phone=None, app_user=None, sms_consent=None)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    (slice_id,) = await release_all(ctx)
    await ctx.pool.execute(
        "update pgqueuer set status = 'picked' where entrypoint like 'slice.released.%'"
    )
    held = await claim(ctx, slice_id)
    assert held is not None
    async with ctx.pool.acquire() as conn, conn.transaction():
        await give_back(conn, held)
    assert await release_all(ctx) == [slice_id]
    waiting = "select count(*) from pgqueuer where status = 'queued' and entrypoint like 'slice.released.%'"
    assert await ctx.pool.fetchval(waiting) == 1
