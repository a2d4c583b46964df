"""Who sees which banner, and what proves that they saw it."""

from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    statuses,
)
from tests.web.client import Api
from tests.web.viewers import announce, items, viewing


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


@pytest.mark.usefixtures("people")
async def test_the_demo_signs_its_own_users_in(anonymous: Api, ctx: Context) -> None:
    token = (await anonymous.get("/demo/banner/token?user=user-1")).json["token"]
    await announce(ctx)
    assert len(await items(anonymous.bearing(token))) == 1
    assert (await anonymous.get("/demo/banner/token?user=nobody")).status == 404
    assert (await anonymous.get("/demo/banner/token")).status == 404
