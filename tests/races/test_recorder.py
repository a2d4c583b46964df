"""Answers of many slices share a transaction, and none pays for the trouble of another."""

import asyncio
from collections.abc import Sequence

from channels.model import Accepted, Reason, Rejected, SendResult
from dispatcher.context import Context, Gathering
from dispatcher.rules.states import SliceState
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.stages.send.build import read_words
from dispatcher.stages.send.claim import Claim
from dispatcher.stages.send.recorder import Recorder, Sheet
from tests.chaos.people import crowd
from tests.flow.story import plan_out, post, release_all, update
from tests.races.moments import assert_counted, begun, slice_state

TRANSACTIONS_SQL = "select count(distinct xmin::text) from slice where id = any($1::bigint[])"


async def in_flight(ctx: Context) -> tuple[AcceptedUpdate, list[Claim]]:
    """Two slices of texts that are on their way."""
    await crowd(ctx, texts=101)
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    return accepted, [await begun(ctx, slice_id) for slice_id in await release_all(ctx)]


async def sheet(ctx: Context, held: Claim, *, trouble: bool = False) -> Sheet:
    """All answers of a slice; a reference with a zero byte is one the database does not take."""
    async with ctx.pool.acquire() as conn:
        words = await read_words(conn, ctx, held.slice)
    results: list[tuple[int, SendResult]] = [
        (endpoint, Accepted("SM\x00" if trouble else f"SM{endpoint}"))
        for endpoint in held.slice["endpoint_ids"]
    ]
    return Sheet(held, words.promise, results, ended=True)


async def test_slices_end_together(ctx: Context) -> None:
    accepted, held = await in_flight(ctx)
    assert len(held) == 2
    sheets = [await sheet(ctx, one) for one in held]
    first = sheets[0].results[0][0]
    sheets[0].results[0] = (first, Rejected(Reason.OPTED_OUT, "21610", suppress=True))
    recorder = Recorder.of(ctx)
    await asyncio.gather(*(recorder.worked_on(one) for one in sheets))
    assert [one.failure for one in sheets] == [None, None]
    assert await assert_counted(ctx, accepted) == {"accepted": 100, "failed": 1}
    assert await ctx.pool.fetchval(TRANSACTIONS_SQL, [one.id for one in held]) == 1
    assert await ctx.pool.fetchval("select count(*) from receipt where provider_ref <> ''") == 100
    assert await ctx.pool.fetchval("select count(*) from suppression") == 1


async def test_what_cannot_be_written_of_one_slice_costs_the_others_nothing(ctx: Context) -> None:
    accepted, held = await in_flight(ctx)
    bad, good = await sheet(ctx, held[0], trouble=True), await sheet(ctx, held[1])
    recorder = Recorder.of(ctx)
    await asyncio.gather(recorder.worked_on(bad), recorder.worked_on(good))
    assert bad.failure is not None
    assert good.failure is None
    assert await slice_state(ctx, held[0].id) is SliceState.IN_FLIGHT
    assert await slice_state(ctx, held[1].id) is SliceState.DONE
    n = len(held[1].slice["endpoint_ids"])
    assert await assert_counted(ctx, accepted) == {"accepted": n, "sending": 101 - n}


async def test_what_is_handed_in_while_others_are_worked_on_comes_next_and_once() -> None:
    turns: list[list[str]] = []
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def work(items: Sequence[str]) -> None:
        turns.append(list(items))
        busy.set()
        await go_on.wait()

    gathering = Gathering(work, every_s=0)
    gathering.hand_in("a")
    gathering.hand_in("a")
    first = asyncio.create_task(gathering.worked_on("b"))
    await busy.wait()
    second = asyncio.create_task(gathering.worked_on("a"))
    await asyncio.sleep(0)
    assert turns == [["a", "b"]]
    go_on.set()
    await asyncio.gather(first, second)
    assert turns == [["a", "b"], ["a"]]
