"""Whoever calls too often is told so, when to come back, and nobody else is held up."""

import asyncio
import math
from random import Random

import pytest
from multidict import CIMultiDict

from dispatcher.config import ApiSettings, Settings
from dispatcher.context import Context
from dispatcher.web.keys import revoke_key
from dispatcher.web.limits import Buckets, Quota
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, seed
from tests.web.client import Api, key_with
from tests.web.test_updates import body_of


def test_a_bucket_gives_what_it_promises_and_no_more() -> None:
    rng, quota = Random(4), Quota("default", 7, 60)
    for _ in range(4):
        buckets, taken = Buckets(), list[float]()
        now = rng.random() * 1e9
        for _ in range(60):
            now += rng.choice([0.0, 0.1, 3.0, 8.0, 20.0])
            standing = buckets.spend(quota, "a", now)
            if standing.wait_s:
                # Within a thousandth of the time nobody is sent away.
                early = now + standing.wait_s - quota.span / 100
                assert early < now or buckets.spend(quota, "a", early).wait_s
                assert buckets.spend(quota, "b", now).left >= 0
                now += standing.wait_s
                assert not buckets.spend(quota, "a", now).wait_s
            taken.append(now)
            # A full bucket at once, and then what has come back: never more than that in any stretch of time.
            for start in taken:
                within = sum(start <= moment for moment in taken)
                assert within <= 7 + math.floor((now - start) / quota.span + 0.01)
    assert Buckets().spend(quota, "a", 0.0).left == 6


def test_a_crowd_of_callers_does_not_fill_the_memory() -> None:
    buckets, quota = Buckets(most=100), Quota("address", 10, 60)
    for number in range(1000):
        buckets.spend(quota, f"caller {number}", 1.0)
        assert len(buckets) <= 100
    buckets.spend(quota, "later", 1000.0)
    assert len(buckets) == 1


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    api = ApiSettings(
        calls=3, updates=4, calls_by_address=2, refused_by_address=5, window_s=3600, proxies=1
    )
    return web_settings.model_copy(update={"api": api})


async def test_a_key_that_calls_too_often_waits_and_others_do_not(api: Api, ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    other = api.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    left = []
    for _ in range(3):
        answer = await api.get("/v1/incidents")
        assert answer.headers["RateLimit-Policy"] == '"default";q=3;w=3600'
        left.append(answer.headers["RateLimit"])
    assert left == [f'"default";r={n};t={t}' for n, t in ((2, 1200), (1, 2400), (0, 3600))]
    refused = await api.get("/v1/incidents")
    assert (refused.status, refused.kind) == (429, "too-many-requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 1200
    assert refused.headers["RateLimit"].startswith('"default";r=0;t=')
    assert refused.headers["X-Request-Id"] == refused.json["request_id"]
    assert (await other.get("/v1/incidents")).status == 200
    # What an upstream has to say is counted by itself; a wrong body is a call too.
    for number in range(4):
        taken = await api.update(body_of(ctx) if number else {}, key=f"k{number}")
        assert taken.status == (202 if number else 422)
        assert taken.headers["RateLimit"].startswith(f'"updates";r={3 - number};')
    assert (await api.update(body_of(ctx), key="k9")).kind == "too-many-requests"


async def test_without_a_key_the_client_address_counts_as_the_proxy_tells_it(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    endpoint = await ctx.pool.fetchval("select id from endpoint where channel = 1")
    path = f"/u/{ctx.signer.public_id('uns', endpoint)}"

    async def status(forwarded: str) -> int:
        return (await anonymous.get(path, **{"X-Forwarded-For": forwarded})).status

    # What stands before what our own proxy wrote, the caller may have invented.
    seen = [await status(f"203.0.113.{n}, 198.51.100.7") for n in range(3)]
    assert seen == [200, 200, 429]
    assert await status("198.51.100.8") == 200
    # Some proxies add a line of their own below what they were sent (RFC 9110, 5.3: it is one list).
    seen = []
    for number in range(3):
        lines = CIMultiDict([("X-Forwarded-For", f"203.0.113.{number}")])
        lines.add("X-Forwarded-For", "198.51.100.9")
        async with anonymous.session.get(f"{anonymous.base}{path}", headers=lines) as response:
            seen.append(response.status)
    assert seen == [200, 200, 429]
    # One customer has as many addresses of a site as they like.
    seen = [await status(f"2001:db8:1:2::{n}") for n in range(3)]
    assert seen == [200, 200, 429]
    assert await status("2001:db8:1:3::1") == 200
    for _ in range(4):
        assert (await anonymous.get("/healthz")).status == 200


async def test_invented_keys_wait_and_a_good_key_behind_the_same_proxy_does_not(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    upstream = anonymous.bearing(await key_with(ctx, Scope.UPDATES_WRITE))
    reader = await key_with(ctx, Scope.INCIDENTS_READ)
    newcomer = anonymous.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    behind = {"X-Forwarded-For": "198.51.100.7"}
    assert (await upstream.update(body_of(ctx), key="k1", **behind)).status == 202
    assert (await anonymous.bearing(reader).get("/v1/incidents", **behind)).status == 200

    invented = [f"tidings_live_{n:012x}_{n:064x}" for n in range(8)]
    shown = [None, "nonsense", *invented]
    seen = await asyncio.gather(
        *(anonymous.bearing(key).get("/v1/incidents", **behind) for key in shown)
    )
    assert sorted(answer.status for answer in seen) == [401] * 5 + [429] * 5
    waits = [answer for answer in seen if answer.status == 429]
    assert all(0 < int(answer.headers["Retry-After"]) <= 720 for answer in waits)
    # Nobody looks in the database now: not even a good key is known that was not seen here before.
    assert (await newcomer.get("/v1/incidents", **behind)).kind == "too-many-requests"
    assert (await newcomer.get("/v1/incidents")).status == 200
    for number in range(2, 5):
        assert (await upstream.update(body_of(ctx), key=f"k{number}", **behind)).status == 202
    # What is good no longer waits like what never was.
    async with ctx.pool.acquire() as conn:
        await revoke_key(conn, reader.split("_")[2], now=ctx.now())
    kinds = [
        (await anonymous.bearing(reader).get("/v1/incidents", **behind)).kind for _ in range(2)
    ]
    assert kinds == ["key-revoked", "too-many-requests"]


async def test_a_key_without_the_scope_is_counted_as_well(anonymous: Api, ctx: Context) -> None:
    reader = anonymous.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    seen = [(await reader.get("/v1/channels")).status for _ in range(4)]
    assert seen == [403, 403, 403, 429]
