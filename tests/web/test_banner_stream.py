"""The banner as a stream: snapshot, changes, resumption, and an end."""

import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from dispatcher.context import Context
from dispatcher.web.app import SHUTDOWN_TIMEOUT_S, make_runner
from dispatcher.web.banner.subscriber import BUFFER, Change, Subscriber
from tests.flow.story import (
    MovableClock,
    contact,
    seed,
)
from tests.web.client import Api, events_of
from tests.web.viewers import announce, viewing


@pytest.mark.usefixtures("people")
async def test_a_stream_brings_a_snapshot_then_every_change(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    viewer = viewing(anonymous, ctx)
    async with events_of(viewer) as events:
        assert events.response.headers["Content-Type"] == "text/event-stream"
        assert events.response.headers["X-Accel-Buffering"] == "no"
        assert await events.next() == ("snapshot", {"items": []})
        accepted = await announce(ctx)
        name, item = await events.next()
        assert (name, item["revision"]) == ("upsert", 1)
        await announce(ctx, status="resolved", facts={"next_update_by": None})
        name, item = await events.next()
        assert (name, item["severity"]) == ("upsert", "resolved")
        clock.move(timedelta(minutes=10))
        gone = {"id": ctx.signer.public_id("inc", accepted.incident_id)}
        assert await events.next() == ("remove", gone)


@pytest.mark.usefixtures("people")
async def test_a_stream_resumes_where_it_was_cut(anonymous: Api, ctx: Context) -> None:
    viewer = viewing(anonymous, ctx)
    await announce(ctx)
    async with events_of(viewer) as events:
        name, data = await events.next()
        assert (name, len(data["items"])) == ("snapshot", 1)
        seen = events.last_id
    await announce(ctx, incident={"external_id": "INC-43"})
    async with events_of(viewer, {"Last-Event-ID": seen}) as events:
        upserts = [await events.next(), await events.next()]
        assert {name for name, _ in upserts} == {"upsert"}
        assert int(events.last_id) > int(seen)


@pytest.mark.parametrize("last", ["999999999", "x", "-1", "9" * 40])
@pytest.mark.usefixtures("people")
async def test_a_last_event_id_that_is_none_of_ours_gets_a_snapshot(
    anonymous: Api, ctx: Context, last: str
) -> None:
    async with events_of(viewing(anonymous, ctx), {"Last-Event-ID": last}) as events:
        assert (await events.next())[0] == "snapshot"


@pytest.mark.usefixtures("people")
async def test_streams_of_two_accounts_never_mix(anonymous: Api, ctx: Context) -> None:
    small, big = viewing(anonymous, ctx), viewing(anonymous, ctx, "user-2", "big")
    async with events_of(small) as for_small, events_of(big) as for_big:
        assert (await for_small.next())[0] == (await for_big.next())[0] == "snapshot"
        for number in range(3):
            name = f"INC-{number}"
            await announce(
                ctx, incident={"external_id": f"S{name}"}, audience={"account_ids": ["small"]}
            )
            await announce(
                ctx, incident={"external_id": f"B{name}"}, audience={"account_ids": ["big"]}
            )
        for events, account in ((for_small, "S"), (for_big, "B")):
            seen = {(await events.next())[1]["id"] for _ in range(3)}
            rows = await ctx.pool.fetch("select id from incident where external_id ^@ $1", account)
            assert seen == {ctx.signer.public_id("inc", row["id"]) for row in rows}


@pytest.mark.usefixtures("people")
async def test_a_stream_ends_with_its_token(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    async with events_of(viewing(anonymous, ctx)) as events:
        await events.next()
        clock.move(timedelta(hours=1))
        await announce(ctx)
        assert (await events.next())[0] in {"upsert", "end"}
        assert (await events.next())[0] == "end"


@pytest.mark.usefixtures("people")
async def test_changes_arrive_without_notifications_and_after_a_lost_listener(
    anonymous: Api, ctx: Context
) -> None:
    async with events_of(viewing(anonymous, ctx)) as events:
        await events.next()
        accepted = await announce(ctx)
        await events.next()
        killed = await ctx.pool.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where application_name = 'tidings-banner' and datname = current_database()"
        )
        assert killed == 1
        # No NOTIFY here: only looking at the table can find it.
        await ctx.pool.execute("update incident set resolved_at = now() - interval '1 hour'")
        await ctx.pool.execute(
            "insert into banner_event (incident_id, update_id, at) values ($1, $2, now())",
            accepted.incident_id,
            accepted.update_id,
        )
        assert (await events.next())[0] == "remove"


@pytest.mark.usefixtures("people")
async def test_an_unknown_account_is_told_to_stop_asking(anonymous: Api, ctx: Context) -> None:
    answer = await viewing(anonymous, ctx, "x", "nobody").get("/v1/banner/stream")
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.usefixtures("people")
async def test_one_user_may_hold_ten_streams(anonymous: Api, ctx: Context) -> None:
    viewer = viewing(anonymous, ctx)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(events_of(viewer))
        refused = await viewer.get("/v1/banner/stream")
        assert (refused.status, refused.kind) == (429, "too-many-streams")
        other = viewing(anonymous, ctx, "user-2", "big")
        async with events_of(other) as events:
            assert (await events.next())[0] == "snapshot"


def test_a_reader_that_is_too_slow_gets_a_snapshot_instead_of_a_longer_queue() -> None:
    subscriber = Subscriber(viewer=None, user=("a", "b"))  # type: ignore[arg-type] # not looked at
    for number in range(3 * BUFFER):
        subscriber._offer(Change(number, None, b""))
    assert subscriber.resync
    assert subscriber.queue.qsize() == 1


async def test_what_follows_a_slow_moment_waits_its_turn() -> None:
    subscriber = Subscriber(viewer=None, user=("a", "b"))  # type: ignore[arg-type] # not looked at
    changes = [Change(number, None, b"%d" % number) for number in range(5)]
    written: list[bytes] = []
    reads = True

    def write(data: bytes) -> bool:
        if reads:
            written.append(data)
        return reads

    subscriber._offer(changes[0])  # before it has begun
    subscriber.follow(write)
    subscriber._offer(changes[1])
    assert [subscriber.queue.get_nowait() for _ in range(2)] == changes[:2]
    subscriber._offer(changes[2])  # what was taken is not sent yet
    assert subscriber.queue.get_nowait() == changes[2]
    assert written == []
    subscriber.caught_up()
    subscriber._offer(changes[3])
    assert written == [b"3"]
    reads = False
    subscriber._offer(changes[4])
    assert subscriber.queue.get_nowait() == changes[4]
    assert written == [b"3"]


async def test_open_streams_end_when_the_process_stops(anonymous: Api, ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    runner = make_runner(ctx)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    second = replace(viewing(anonymous, ctx), base=f"http://{host}:{port}")
    async with events_of(second) as events:
        assert (await events.next())[0] == "snapshot"
        began = time.monotonic()
        await runner.cleanup()
        assert time.monotonic() - began < SHUTDOWN_TIMEOUT_S
        assert await events.next() == ("end", None)
