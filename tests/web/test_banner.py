"""The banner: computed on connect, streamed, resumed, acknowledged, and seen by nobody else."""

import base64
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import orjson
import pytest
from aiohttp import web

from dispatcher.context import Context
from dispatcher.stages.accept import AcceptedUpdate
from dispatcher.web import make_runner
from dispatcher.web.app import SHUTDOWN_TIMEOUT_S
from dispatcher.web.banner.subscriber import BUFFER, Change, Subscriber
from dispatcher.web.banner.token import make_banner_token
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    contact,
    plan_out,
    post,
    seed,
    statuses,
    update,
)
from tests.web.client import Api, events_of
from tests.web.conftest import PAGE_ORIGIN


@pytest.fixture
async def people(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "big")], tiers={"big": "enterprise"})


def viewing(api: Api, ctx: Context, user: str = "user-1", account: str = "small") -> Api:
    return api.bearing(make_banner_token(ctx, user, account, ctx.now()))


async def announce(ctx: Context, **more: Any) -> AcceptedUpdate:
    accepted = await post(ctx, update(ctx, **more))
    await plan_out(ctx, accepted)
    return accepted


async def items(api: Api) -> list[dict[str, Any]]:
    answer = await api.get("/v1/banner")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json["items"]
    return found


@pytest.mark.usefixtures("people")
async def test_an_affected_user_sees_the_words_of_their_segment(
    anonymous: Api, ctx: Context
) -> None:
    accepted = await announce(ctx)
    (item,) = await items(viewing(anonymous, ctx))
    assert item["id"] == ctx.signer.public_id("inc", accepted.incident_id)
    assert (item["revision"], item["severity"], item["lang"]) == (1, "major", "en")
    assert item["title"] == "Some customers cannot check out"
    assert item["url"] == f"{ctx.settings.public_url}/i/{item['id']}"
    assert item["ends_at"] is None
    assert "{%" not in item["body"]


@pytest.mark.usefixtures("people")
async def test_only_accounts_in_the_audience_see_it(anonymous: Api, ctx: Context) -> None:
    await announce(ctx, audience={"account_ids": ["big"]})
    assert await items(viewing(anonymous, ctx)) == []
    assert len(await items(viewing(anonymous, ctx, "user-2", "big"))) == 1


@pytest.mark.usefixtures("people")
async def test_a_user_nobody_told_us_about_sees_what_their_account_was_told(
    anonymous: Api, ctx: Context
) -> None:
    await announce(ctx, audience={"account_ids": ["big"]})
    assert len(await items(viewing(anonymous, ctx, "stranger", "big"))) == 1
    assert await items(viewing(anonymous, ctx, "stranger", "small")) == []
    assert await items(viewing(anonymous, ctx, "stranger", "no such account")) == []


@pytest.mark.usefixtures("people")
async def test_a_user_of_one_account_sees_nothing_with_a_token_for_another(
    anonymous: Api, ctx: Context
) -> None:
    await announce(ctx, audience={"account_ids": ["big"]})
    assert await items(viewing(anonymous, ctx, "user-2", "small")) == []


@pytest.mark.usefixtures("people")
async def test_internal_facts_are_not_in_a_customers_banner(anonymous: Api, ctx: Context) -> None:
    await announce(ctx, internal={"cause": "the canary cause"})
    assert "canary" not in str(await items(viewing(anonymous, ctx)))


@pytest.mark.usefixtures("people")
async def test_resolved_stays_ten_minutes(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    await announce(ctx)
    await announce(ctx, status="resolved", facts={"next_update_by": None})
    (item,) = await items(viewing(anonymous, ctx))
    assert (item["revision"], item["severity"]) == (2, "resolved")
    clock.move(timedelta(minutes=10))
    assert await items(viewing(anonymous, ctx)) == []


@pytest.mark.usefixtures("people")
async def test_polling_costs_nothing_while_nothing_changes(anonymous: Api, ctx: Context) -> None:
    viewer = viewing(anonymous, ctx)
    await announce(ctx)
    first = await viewer.get("/v1/banner")
    assert first.headers["Cache-Control"] == "no-store"
    same = await viewer.get("/v1/banner", **{"If-None-Match": first.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")
    await announce(ctx, status="identified", facts={"impact": "Every payment fails."})
    fresh = await viewer.get("/v1/banner", **{"If-None-Match": first.headers["ETag"]})
    assert (fresh.status, fresh.json["items"][0]["revision"]) == (200, 2)


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
        subscriber._offer(Change(number, number, None))
    assert subscriber.resync
    assert subscriber.queue.qsize() == 1


def claims(ctx: Context, **more: Any) -> dict[str, Any]:
    soon = int(ctx.now().timestamp()) + 600
    return {"sub": "user-1", "acct": "small", "aud": "banner", "exp": soon, **more}


def signed(ctx: Context, body: dict[str, Any]) -> str:
    return jwt.encode(body, ctx.signer.derived_key("banner"), algorithm="HS256")


def signed_otherwise(ctx: Context, body: dict[str, Any]) -> str:
    """Good in everything but the algorithm; the library warns of keys of this length."""
    parts = [{"alg": "HS384", "typ": "JWT"}, body]
    text = b".".join(base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in parts)
    proof = hmac.digest(ctx.signer.derived_key("banner"), text, "sha384")
    return (text + b"." + base64.urlsafe_b64encode(proof).rstrip(b"=")).decode()


async def bad_tokens(ctx: Context) -> AsyncIterator[tuple[str, str | None]]:
    now = int(ctx.now().timestamp())
    good = signed(ctx, claims(ctx))
    yield "none at all", None
    yield "damaged", good[:-3] + "AAA"
    yield "unsigned", jwt.encode(claims(ctx), "", algorithm="none")
    yield "other algorithm", signed_otherwise(ctx, claims(ctx))
    yield "other key", jwt.encode(claims(ctx), "k" * 32, algorithm="HS256")
    yield "expired", signed(ctx, claims(ctx, exp=now))
    yield "too long", signed(ctx, claims(ctx, exp=now + 3601))
    yield "other audience", signed(ctx, claims(ctx, aud="console"))
    for name in ("sub", "acct", "aud", "exp"):
        without = {key: value for key, value in claims(ctx).items() if key != name}
        yield f"without {name}", signed(ctx, without)
    yield "odd user", signed(ctx, claims(ctx, sub="a\x00b"))
    yield "blank user", signed(ctx, claims(ctx, sub=" "))
    yield "number as account", signed(ctx, claims(ctx, acct=7))
    yield "endless", signed(ctx, claims(ctx, exp=10**18))
    yield "huge", signed(ctx, claims(ctx, more="x" * 5000))


async def test_only_our_own_short_lived_tokens_open_the_banner(
    anonymous: Api, ctx: Context
) -> None:
    for path in ("/v1/banner", "/v1/banner/stream"):
        async for why, token in bad_tokens(ctx):
            answer = await anonymous.bearing(token).get(path)
            assert (answer.status, answer.kind) == (401, "banner-token-invalid"), why
    assert (await anonymous.bearing(signed(ctx, claims(ctx))).get("/v1/banner")).status == 200


async def test_a_token_lives_an_hour_at_most(ctx: Context) -> None:
    with pytest.raises(ValueError, match="up to one hour"):
        make_banner_token(ctx, "u", "a", ctx.now(), valid_for=timedelta(hours=1, seconds=1))


@pytest.mark.usefixtures("people")
async def test_displayed_is_proof_of_delivery(anonymous: Api, ctx: Context) -> None:
    accepted = await announce(ctx)
    viewer = viewing(anonymous, ctx)
    receipt = {"id": ctx.signer.public_id("inc", accepted.incident_id), "revision": 1}
    for event in ("displayed", "displayed", "dismissed"):
        answer = await viewer.call("POST", "/v1/banner/receipts", {**receipt, "event": event})
        assert (answer.status, answer.body) == (204, b"")
    await apply_receipts(ctx)
    assert (await statuses(ctx, accepted.dispatch_id))["displayed"] == 1
    again = await viewer.call("POST", "/v1/banner/receipts", {**receipt, "event": "displayed"})
    assert again.status == 204
    assert await ctx.pool.fetchval("select count(*) from receipt_batch") == 0


@pytest.mark.usefixtures("people")
async def test_a_receipt_without_a_delivery_is_ignored_with_the_reason(
    anonymous: Api, ctx: Context
) -> None:
    accepted = await announce(ctx, audience={"account_ids": ["big"]})
    body = {
        "id": ctx.signer.public_id("inc", accepted.incident_id),
        "revision": 1,
        "event": "displayed",
    }
    known = await viewing(anonymous, ctx).call("POST", "/v1/banner/receipts", body)
    assert (known.status, known.json) == (202, {"ignored": "no_delivery"})
    stranger = viewing(anonymous, ctx, "stranger", "big")
    unknown = await stranger.call("POST", "/v1/banner/receipts", body)
    assert (unknown.status, unknown.json) == (202, {"ignored": "unknown_user"})
    assert await ctx.pool.fetchval("select count(*) from receipt_batch") == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [({"event": "opened"}, 422), ({"revision": 0}, 422), ({"id": "inc_x"}, 404), ({"x": 1}, 422)],
)
@pytest.mark.usefixtures("people")
async def test_a_malformed_receipt_is_refused(
    anonymous: Api, ctx: Context, change: dict[str, Any], status: int
) -> None:
    accepted = await announce(ctx)
    body = {
        "id": ctx.signer.public_id("inc", accepted.incident_id),
        "revision": 1,
        "event": "displayed",
        **change,
    }
    answer = await viewing(anonymous, ctx).call("POST", "/v1/banner/receipts", body)
    assert answer.status == status


async def test_only_listed_pages_may_read_the_banner_from_a_browser(
    anonymous: Api, ctx: Context
) -> None:
    viewer = viewing(anonymous, ctx)
    listed = await viewer.get("/v1/banner", Origin=PAGE_ORIGIN)
    assert listed.status == 200
    assert listed.headers["Access-Control-Allow-Origin"] == PAGE_ORIGIN
    assert listed.headers["Vary"] == "Origin"
    for origin in ("https://evil.example", f"{PAGE_ORIGIN}.evil.example", "null"):
        refused = await viewer.get("/v1/banner", Origin=origin)
        assert (refused.status, refused.kind) == (403, "origin-not-allowed")
        assert "Access-Control-Allow-Origin" not in refused.headers
    own = await viewer.get("/v1/banner", Origin=ctx.settings.public_url)
    assert own.status == 200


async def test_a_page_can_see_that_its_token_has_expired(anonymous: Api) -> None:
    answer = await anonymous.get("/v1/banner", Origin=PAGE_ORIGIN)
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE_ORIGIN


@pytest.mark.parametrize("path", ["/v1/banner", "/v1/banner/stream", "/v1/banner/receipts"])
async def test_browsers_may_ask_first(anonymous: Api, path: str) -> None:
    headers = {"Origin": PAGE_ORIGIN, "Access-Control-Request-Method": "GET"}
    answer = await anonymous.call("OPTIONS", path, headers=headers)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE_ORIGIN
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Max-Age"] == "600"
    stranger = await anonymous.call("OPTIONS", path, headers={"Origin": "https://evil.example"})
    assert stranger.status == 403


@pytest.mark.usefixtures("people")
async def test_the_demo_signs_its_own_users_in(anonymous: Api, ctx: Context) -> None:
    token = (await anonymous.get("/demo/banner/token?user=user-1")).json["token"]
    await announce(ctx)
    assert len(await items(anonymous.bearing(token))) == 1
    assert (await anonymous.get("/demo/banner/token?user=nobody")).status == 404
    assert (await anonymous.get("/demo/banner/token")).status == 404


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
