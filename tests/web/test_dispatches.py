"""Dispatches over HTTP: deliveries page by page, decisions with exact counts, reports, limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.pacing import BucketState, Grant, Limit, reserve, units_left
from dispatcher.context import Context
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, plan_out, post, seed, update
from tests.web.client import Api, key_with


@pytest.fixture
async def planned(ctx: Context) -> str:
    """The path of a dispatch to four people, one of whom has no phone."""
    await seed(
        ctx,
        [*(contact(n, "small") for n in range(3)), contact(3, "small", phone="", sms_consent=None)],
    )
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    return f"/v1/dispatches/{ctx.signer.public_id('dsp', accepted.dispatch_id or 0)}"


async def test_a_dispatch_counts_its_deliveries_by_status(api: Api, planned: str) -> None:
    view = (await api.get(planned)).json
    assert (view["state"], view["paused"]) == ("sending", False)
    assert view["deliveries"] == {"queued": 7, "accepted": 4, "unreachable": 1}


async def every_row(api: Api, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = await api.get(following)
        assert answer.status == 200
        rows += answer.json["data"]
        link = answer.headers.get("Link", "")
        assert bool(link) == bool(answer.json["next_cursor"])
        following = link.partition(">")[0].removeprefix(f"<{api.base}") or None
    return rows


async def test_deliveries_are_listed_once_each_whatever_the_page_size(
    api: Api, planned: str
) -> None:
    whole = await every_row(api, f"{planned}/deliveries")
    assert len(whole) == 12
    assert await every_row(api, f"{planned}/deliveries?limit=1") == whole
    assert await every_row(api, f"{planned}/deliveries?limit=5") == whole
    texts = await every_row(api, f"{planned}/deliveries?limit=3&channel=sms")
    assert texts == [row for row in whole if row["channel"] == "sms"]
    (unreachable,) = [row for row in texts if row["status"] == "unreachable"]
    assert (unreachable["reason"], unreachable["contact"]) == ("no_address", "c3")
    assert unreachable["address"] is None


async def test_addresses_are_masked_without_their_scope(
    anonymous: Api, ctx: Context, planned: str
) -> None:
    reader = anonymous.bearing(await key_with(ctx, Scope.DELIVERIES_READ))
    masked = await reader.get(f"{planned}/deliveries")
    assert b"person1@example.com" not in masked.body
    scopes = Scope.DELIVERIES_READ, Scope.RECIPIENTS_READ_PII
    trusted = anonymous.bearing(await key_with(ctx, *scopes))
    assert b"person1@example.com" in (await trusted.get(f"{planned}/deliveries")).body


async def test_cancel_withdraws_what_has_not_left_and_says_how_many(
    api: Api, ctx: Context, planned: str
) -> None:
    answer = await api.call("POST", f"{planned}/cancel")
    assert (answer.status, answer.json["changed"]) == (200, 11)
    assert answer.json["deliveries"] == {"cancelled": 11, "unreachable": 1}
    again = await api.call("POST", f"{planned}/cancel")
    assert (again.status, again.kind) == (409, "dispatch-over")
    (row,) = await ctx.pool.fetch("select * from audit where action = 'dispatch.cancel'")
    assert row["detail"] == {"changed": 11}


async def test_pause_holds_and_resume_lets_go(api: Api, planned: str) -> None:
    early = await api.call("POST", f"{planned}/resume")
    assert (early.status, early.kind) == (409, "not-paused")
    assert (await api.call("POST", f"{planned}/pause")).json["changed"] == 7
    assert (await api.get(planned)).json["paused"]
    assert (await api.call("POST", f"{planned}/resume")).json["changed"] == 7
    assert not (await api.get(planned)).json["paused"]


async def test_the_report_comes_as_json(api: Api, planned: str) -> None:
    report = (await api.get(f"{planned}/report")).json
    assert report["dispatch"] == planned.rpartition("/")[2]
    assert set((await api.get(f"{planned}/report.json")).json) == set(report)


async def test_an_accounts_deliveries_can_be_asked_for(api: Api, planned: str) -> None:
    assert planned
    view = (await api.get("/v1/accounts/small/deliveries")).json
    assert (view["account"], len(view["data"])) == ("small", 1)
    assert (await api.get("/v1/accounts/nobody/deliveries")).status == 404
    assert (await api.get("/v1/accounts/small/deliveries?cursor=x")).kind == "invalid-query"


async def test_channels_show_their_limits_and_what_is_left(api: Api, ctx: Context) -> None:
    rows = {row["channel"]: row for row in (await api.get("/v1/channels")).json["data"]}
    assert {name: row["configured"] for name, row in rows.items()} == {
        "email": True,
        "sms": True,
        "social": False,
        "banner": True,
    }
    (sender,) = rows["sms"]["senders"]
    assert sender["provider"] == "twilio"
    assert all(window["left"] == window["limit"] for window in sender["windows"])
    assert sender["paused_until"] is None
    await ctx.pool.execute(
        "update sender set paused_until = $1::timestamptz + interval '1 minute', paused_why = 'throttled'",
        ctx.now(),
    )
    await ctx.pool.execute(
        "update bucket set cells = array_fill(0, array[12]) || 1::bigint, cell_no = 10 ^ 15"
    )
    rows = {row["channel"]: row for row in (await api.get("/v1/channels")).json["data"]}
    (sender,) = rows["sms"]["senders"]
    assert sender["paused_why"] == "throttled"
    assert all(window["left"] == window["limit"] - 1 for window in sender["windows"])


@given(
    count=st.integers(1, 1000),
    seconds=st.sampled_from([1, 60, 900, 86400]),
    costs=st.lists(st.integers(1, 1000), max_size=8),
    later=st.floats(0, 200_000),
)
def test_what_is_left_of_a_limit_is_what_was_not_taken_and_comes_back(
    count: int, seconds: int, costs: list[int], later: float
) -> None:
    limit, now, taken = Limit(count, seconds), 1_700_000_000.0, 0
    states: tuple[BucketState, ...] = (BucketState(),)
    for cost in costs:
        if cost > count - taken:
            continue
        grant = reserve((limit,), states, now, cost, 0.0, spread=False)
        if not isinstance(grant, Grant):
            break
        states, taken = grant.states, taken + cost
    assert units_left(limit, states[0], now) == count - taken
    left = units_left(limit, states[0], now + later)
    assert count - taken <= left <= count
    if later > seconds * 13 / 12 + 1:
        assert left == count


async def test_incidents_can_be_paged_through_and_narrowed(api: Api, ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    for number in range(3):
        await post(ctx, update(ctx, incident={"external_id": f"INC-{number}"}))
    await post(ctx, update(ctx, incident={"external_id": "INC-0"}, status="resolved"))
    whole = await every_row(api, "/v1/incidents?limit=2")
    assert [row["external_id"] for row in whole] == ["INC-2", "INC-1", "INC-0"]
    going_on = await every_row(api, "/v1/incidents?state=open&limit=1")
    assert [row["external_id"] for row in going_on] == ["INC-2", "INC-1"]
    (over,) = await every_row(api, "/v1/incidents?state=resolved")
    updates = await every_row(api, f"/v1/incidents/{over['id']}/updates?limit=1")
    assert [(row["revision"], row["kind"]) for row in updates] == [
        (2, "resolved"),
        (1, "acknowledgement"),
    ]
