"""A person stops one channel at the API: who may, what is answered, and what is on record."""

from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.senders import sync_senders
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock, plan_out, post, update
from tests.people.words import somebody
from tests.web.client import Api, key_with

SMS = "/v1/channels/sms"
WHY = {"reason": "Texts name the wrong product"}


async def channels(api: Api) -> dict[str, Any]:
    return {row["channel"]: row for row in (await api.get("/v1/channels")).json["data"]}


async def on_record(ctx: Context) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await ctx.pool.fetch("select * from audit where action like 'channel.%' order by id")
    return [(row["action"], row["object"], row["detail"]) for row in rows]


async def test_a_channel_is_paused_and_resumed_once_however_often_it_is_said(
    anonymous: Api, ctx: Context, clock: MovableClock, people: None
) -> None:
    assert people is None
    lead = await somebody(ctx, anonymous, Role.COMMS_LEAD)
    me = (await lead.get("/v1/me")).json["user"]["id"]
    await plan_out(ctx, await post(ctx, update(ctx)))
    before = (await channels(lead))["sms"]
    assert (before["health"], before["pause"], before["waiting"]) == ("ready", None, 2)
    since = ctx.now().isoformat().replace("+00:00", "Z")
    wanted = {"since": since, "until": None, "by": f"user:{me}", **WHY}
    paused = {**before, "health": "paused", "pause": wanted}
    for _ in range(2):
        answer = await lead.call("POST", f"{SMS}/pause", WHY)
        assert (answer.status, answer.json) == (200, paused)
        clock.move(timedelta(seconds=1))
    assert (await channels(lead))["sms"] == paused
    # The newest word counts; since when it is paused stays.
    until = "2099-11-22T14:30:00Z"
    answer = await lead.call(
        "POST", f"{SMS}/pause", {"reason": " Carrier trouble ", "until": until}
    )
    assert answer.json["pause"] == {**wanted, "reason": "Carrier trouble", "until": until}
    for _ in range(2):
        answer = await lead.call("POST", f"{SMS}/resume")
        assert (answer.status, answer.json) == (200, before)
    assert await on_record(ctx) == [
        ("channel.pause", "sms", WHY),
        ("channel.pause", "sms", {"reason": "Carrier trouble", "until": until}),
        ("channel.resume", "sms", {}),
    ]


async def test_what_cannot_be_paused_is_refused_in_words(api: Api, ctx: Context) -> None:
    past = {**WHY, "until": ctx.now().isoformat()}
    for body, pointer in (
        ({}, "/reason"),
        ({"reason": "  "}, "/reason"),
        ({"reason": "x" * 201}, "/reason"),
        ({**WHY, "until": "2099-11-22T14:30:00"}, "/until"),
        (past, "/until"),
    ):
        answer = await api.call("POST", f"{SMS}/pause", body)
        assert (answer.kind, answer.json["errors"][0]["pointer"]) == ("invalid-request", pointer)
    for action, sent in (("pause", WHY), ("resume", None)):
        assert (await api.call("POST", f"/v1/channels/fax/{action}", sent)).kind == "not-found"
        answer = await api.call("POST", f"/v1/channels/banner/{action}", sent)
        assert (answer.status, answer.kind) == (409, "nothing-to-pause")
    assert await ctx.pool.fetchval("select count(*) from channel_pause") == 0
    assert await on_record(ctx) == []


async def test_only_who_may_approve_stops_a_channel_and_managers_learn_that_it_is_not_why(
    anonymous: Api, ctx: Context
) -> None:
    writer = anonymous.bearing(await key_with(ctx, Scope.UPDATES_WRITE, Scope.DELIVERIES_READ))
    approver = anonymous.bearing(await key_with(ctx, Scope.APPROVALS_WRITE))
    manager = await somebody(ctx, anonymous, Role.ACCOUNT_MANAGER)
    for caller in (writer, manager):
        for action, body in (("pause", WHY), ("resume", None)):
            assert (await caller.call("POST", f"{SMS}/{action}", body)).kind == "missing-scope"
    assert (await approver.call("POST", f"{SMS}/pause", WHY)).status == 200
    assert (await channels(writer))["sms"]["pause"]["reason"] == WHY["reason"]
    seen = (await channels(manager))["sms"]
    assert (seen["health"], seen["waiting"]) == ("paused", None)
    assert (seen["pause"]["by"], seen["pause"]["reason"]) == (None, None)
    assert seen["pause"]["since"]


@pytest.mark.parametrize(
    ("state", "health"),
    [
        ("paused_until = $1::timestamptz + interval '9 s', trips = 1", "stopped"),
        ("paused_until = $1::timestamptz - interval '9 s', trips = 1", "probation"),
        ("paused_until = $1::timestamptz - interval '9 s', trips = 0", "ready"),
        ("configured = $1::timestamptz is null", "not_configured"),
    ],
)
async def test_a_channel_tells_its_health(api: Api, ctx: Context, state: str, health: str) -> None:
    async with ctx.pool.acquire() as conn:
        await sync_senders(conn, ctx, now=ctx.now(), decide=True)
        await conn.execute(f"update sender set {state} where channel = 2", ctx.now())
    found = await channels(api)
    assert (found["sms"]["health"], found["email"]["health"]) == (health, "ready")
    assert (found["social"]["health"], found["banner"]["health"]) == ("not_configured", "ready")
