"""Endpoints at the API: the secret once, changes on the version that was seen, a button and a log."""

from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.stages import webhooks
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock
from tests.web.client import Answer, Api, key_with
from tests.webhooks.hooks import tell
from tests.webhooks.receiver import Receiver

BODY = {"events": ["source.error", "delivery.failed"], "description": "tickets"}


async def made(api: Api, receiver: Receiver) -> dict[str, Any]:
    answer = await api.call("POST", "/v1/webhooks", BODY | {"url": receiver.url})
    assert answer.status == 201, answer.body
    created: dict[str, Any] = answer.json
    assert answer.headers["Location"] == f"/v1/webhooks/{created['id']}"
    return created


async def run(ctx: Context, public: str) -> None:
    await webhooks.run(ctx, ctx.signer.read_public_id("whk", public))


async def test_a_secret_is_shown_once_and_kept_sealed_and_every_write_is_on_record(
    api: Api, ctx: Context, receiver: Receiver
) -> None:
    created = await made(api, receiver)
    secret, path = created.pop("secret"), f"/v1/webhooks/{created['id']}"
    assert secret.startswith("whsec_")
    assert created["events"] == ["delivery.failed", "source.error"]
    assert created["created_by"].startswith("key:")
    shown, listed = await api.get(path), await api.get("/v1/webhooks")
    assert shown.json == listed.json["data"][0] == created
    for table in ("webhook_endpoint", "webhook_secret", "audit"):
        rows = await ctx.pool.fetch(f"select {table}::text as row from {table}")
        assert rows
        assert secret not in str(rows)
        assert secret.encode().hex() not in str(rows)
    rotated = await api.call("POST", f"{path}/rotate", {"overlap_hours": 1})
    assert rotated.json["secret"] != secret
    assert (await api.call("POST", f"{path}/disable")).json["disabled"] == "person"
    assert (await api.call("POST", f"{path}/enable")).json["disabled"] is None
    assert (await api.call("DELETE", path)).json == {"result": "removed"}
    assert (await api.get(path)).status == 404
    actions = await ctx.pool.fetch(
        "select action, object from audit where object <> '' order by id"
    )
    done = [row["action"] for row in actions if row["object"] == created["id"]]
    # Disabled, then forgotten: nothing is told to what is about to go.
    words = ("create", "rotate", "disable", "enable", "disable", "remove")
    assert done == [f"webhook.{word}" for word in words]


async def test_a_removal_that_does_not_come_about_leaves_out_nothing_that_was_to_be_told(
    api: Api, ctx: Context, receiver: Receiver
) -> None:
    """Who tells in that moment waits for nobody, and leaves out what is being removed."""
    created = await made(api, receiver)
    path = f"/v1/webhooks/{created['id']}"
    await ctx.pool.execute(
        """create function refuse() returns trigger language plpgsql as $$
           begin raise deadlock_detected; end $$"""
    )
    await ctx.pool.execute(
        """create constraint trigger refuse after delete on webhook_endpoint
           deferrable initially deferred for each row execute function refuse()"""
    )
    assert (await api.call("DELETE", path)).status >= 500
    assert (await api.get(path)).json["disabled"] == "person"
    await ctx.pool.execute("drop trigger refuse on webhook_endpoint")
    assert (await api.call("DELETE", path)).status == 200


async def test_a_change_is_made_to_the_version_that_was_seen(api: Api, receiver: Receiver) -> None:
    path = f"/v1/webhooks/{(await made(api, receiver))['id']}"
    tag = (await api.get(path)).headers["ETag"]
    more = {"events": ["update.published"], "description": "status page"}
    assert (await api.call("PATCH", path, more)).kind == "if-match-missing"
    changed = await api.call("PATCH", path, more, headers={"If-Match": tag})
    assert changed.json["events"] == ["update.published"]
    assert changed.json["url"] == receiver.url
    stale = await api.call("PATCH", path, {"description": "x"}, headers={"If-Match": tag})
    assert (stale.status, stale.kind) == (412, "changed-meanwhile")
    assert (await api.get(path)).json["description"] == "status page"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": "http://hooks.example.com/"}, "/url"),
    ({"url": "https://169.254.169.254/"}, "/url"),
    ({"url": "https://u:p@hooks.example.com/"}, "/url"),
    ({"events": []}, "/events"),
    ({"events": ["webhook.test"]}, "/events/0"),
    ({"events": ["update.posted"]}, "/events/0"),
    ({"colour": "red"}, "/colour"),
]


@pytest.mark.parametrize(("more", "pointer"), WRONG, ids=str)
async def test_a_wrong_field_is_named_and_nothing_is_made(
    api: Api, ctx: Context, receiver: Receiver, more: dict[str, Any], pointer: str
) -> None:
    answer = await api.call("POST", "/v1/webhooks", BODY | {"url": receiver.url} | more)
    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert pointer in [item["pointer"] for item in answer.json["errors"]]
    path = f"/v1/webhooks/{(await made(api, receiver))['id']}"
    again = await api.call("PATCH", path, more, headers={"If-Match": "*"})
    assert again.status == 422
    assert await ctx.pool.fetchval("select count(*) from webhook_endpoint") == 1


async def test_the_button_sends_now_and_says_what_came_back(
    api: Api, ctx: Context, receiver: Receiver
) -> None:
    created = await made(api, receiver)
    path = f"/v1/webhooks/{created['id']}"
    receiver.answer(200, b"hello there")
    well = (await api.call("POST", f"{path}/test")).json
    assert (well["delivered"], well["status"], well["error"]) == (True, 200, "")
    assert well["excerpt"] == "hello there"
    (got,) = receiver.got
    assert got.id == well["message_id"]
    assert got.verify(created["secret"])["type"] == "webhook.test"
    # It works while the endpoint is disabled; it is not tried again and does not count against it.
    await api.call("POST", f"{path}/disable")
    receiver.answer(410, b"not here")
    ill = (await api.call("POST", f"{path}/test")).json
    assert (ill["delivered"], ill["status"], ill["error"]) == (False, 410, "gone")
    shown = (await api.get(path)).json
    assert (shown["disabled"], shown["failing_since"]) == ("person", None)
    log = (await api.get(f"{path}/deliveries")).json["data"]
    assert [(item["id"], item["state"], item["type"]) for item in log] == [
        (ill["delivery_id"], "failed", "webhook.test"),
        (well["delivery_id"], "delivered", "webhook.test"),
    ]
    await api.call("POST", f"{path}/enable")
    await run(ctx, created["id"])
    assert len(receiver.got) == 2
    await ctx.pool.execute("update webhook_endpoint set failing_since = created_at")
    await api.call("POST", f"{path}/test")
    assert (await api.get(path)).json["failing_since"] is None, "it is well, as everybody can see"
    await ctx.pool.execute("update webhook_secret set sealed = '\\x0102'::bytea")
    assert (await api.call("POST", f"{path}/test")).kind == "webhook-unreadable"


async def _log(api: Api, path: str, query: str = "") -> list[tuple[str, list[Any]]]:
    answer: Answer = await api.get(f"{path}/deliveries{query}")
    return [
        (item["state"], [attempt["status"] for attempt in item["attempts"]])
        for item in answer.json["data"]
    ]


async def test_the_log_tells_every_attempt_and_what_failed_can_be_sent_again(
    api: Api, ctx: Context, receiver: Receiver, clock: MovableClock
) -> None:
    created = await made(api, receiver)
    path = f"/v1/webhooks/{created['id']}"
    receiver.answer(500)
    receiver.answer(302, Location="/elsewhere")
    await tell(ctx, 1)
    for _ in range(2):
        await run(ctx, created["id"])
        clock.move(timedelta(minutes=6))
    await tell(ctx, 2)
    await tell(ctx, 3)
    await run(ctx, created["id"])
    assert await _log(api, path) == [
        ("delivered", [204]),
        ("delivered", [204]),
        ("delivered", [500, 302, 204]),
    ]
    first = await api.get(f"{path}/deliveries?limit=2")
    cursor = first.json["next_cursor"]
    assert cursor
    assert await _log(api, path, f"?limit=2&cursor={cursor}") == [("delivered", [500, 302, 204])]
    assert await _log(api, path, "?state=failed") == []
    again = first.json["data"][0]
    sent = await api.call("POST", f"{path}/deliveries/{again['id']}/resend")
    assert (sent.status, sent.json["state"]) == (202, "waiting")
    assert await _log(api, path, "?state=waiting") == [("waiting", [204])]
    await run(ctx, created["id"])
    assert [got.id for got in receiver.got].count(again["message_id"]) == 2
    assert (await _log(api, path))[0] == ("delivered", [204, 204])
    await api.call("POST", f"{path}/disable")
    refused = await api.call("POST", f"{path}/deliveries/{again['id']}/resend")
    assert (refused.status, refused.kind) == (409, "webhook-disabled")


async def test_nobody_reads_or_resends_the_log_of_another_endpoint(
    api: Api, ctx: Context, receiver: Receiver
) -> None:
    one, two = await made(api, receiver), await made(api, receiver)
    await tell(ctx)
    await run(ctx, one["id"])
    (item,) = (await api.get(f"/v1/webhooks/{one['id']}/deliveries")).json["data"]
    other = f"/v1/webhooks/{two['id']}/deliveries/{item['id']}/resend"
    assert (await api.call("POST", other)).status == 404
    await run(ctx, two["id"])
    assert len(receiver.got) == 2, "one message to each, and no more"


async def test_webhooks_are_for_administrators(anonymous: Api, ctx: Context) -> None:
    one = "/v1/webhooks/whk_x"
    routes = [("GET", "/v1/webhooks"), ("POST", "/v1/webhooks")]
    routes += [(method, one) for method in ("GET", "PATCH", "DELETE")]
    routes += [("POST", f"{one}/{verb}") for verb in ("rotate", "enable", "disable", "test")]
    routes += [("GET", f"{one}/deliveries"), ("POST", f"{one}/deliveries/whd_x/resend")]
    others = [scope for scope in Scope if scope is not Scope.ADMIN]
    limited = anonymous.bearing(await key_with(ctx, *others))
    for method, path in routes:
        assert (await anonymous.call(method, path)).status == 401
        assert (await limited.call(method, path)).kind == "missing-scope"
