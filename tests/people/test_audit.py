"""Every write leaves who did it: a person does all there is to do, and each thing is on record."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final

import pytest

from dispatcher.config import Settings, WebhookSettings
from dispatcher.context import Context
from dispatcher.intake.model import Kind
from dispatcher.rules.roles import Role
from dispatcher.web.routes import ROUTES
from tests.drafts.desk import body as draft
from tests.flow.story import contact, seed, update
from tests.intake.payloads import pagerduty
from tests.intake.senders import source
from tests.people.words import PASSWORD, accept, invite, sign_in, somebody
from tests.web.client import Answer, Api
from tests.webhooks.receiver import receiving

# Of what these leave, something else is the record; or nothing is changed.
WITHOUT: Final = {
    "preview_draft": "shows what would be sent",
    "post_banner_receipt": "is the evidence of a delivery itself",
    "post_receipts": "is the evidence of a delivery itself",
    "begin_oidc": "nobody is known yet; the callback is on record, see test_oidc.py",
    "return_from_oidc": "see test_oidc.py",
    "post_intake_with_secret": "the same handler as post_intake",
}
EVEN_SO: Final = {"If-Match": "*"}


@dataclass
class Day:
    """What somebody does in a day, operation by operation; later ones need what earlier ones made."""

    api: Api
    ctx: Context
    hook: str
    made: dict[str, Any] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        answer = await self.api.call(method, path, body, headers=EVEN_SO)
        assert answer.status < 300, (method, path, answer.body)
        return answer

    async def post(self, path: str, body: object = None) -> Any:
        return (await self.call("POST", path, body)).json

    async def post_update(self) -> None:
        posted = update(self.ctx).model_dump(mode="json", exclude_unset=True)
        answer = await self.api.update(posted, "first")
        assert answer.status == 202, answer.body
        self.made["dispatch"] = f"/v1/dispatches/{answer.json['dispatch_id']}"
        for key in ("one", "two"):
            more = {"incident": {"external_id": key}}
            answer = await self.api.update(draft(self.ctx, **more), key)
            self.made[key] = f"/v1/drafts/{answer.json['update_id']}"

    async def patch_draft(self) -> None:
        body = {"facts": {"title": "Nobody can check out"}}
        await self.call("PATCH", self.made["one"], body)

    async def submit_draft(self) -> None:
        await self.post(f"{self.made['one']}/submit")

    async def discard_draft(self) -> None:
        await self.call("DELETE", self.made["two"])

    async def post_export(self) -> None:
        await self.post(f"{self.made['dispatch']}/exports", {"format": "csv"})

    async def make_report_link(self) -> None:
        await self.post(f"{self.made['dispatch']}/links", {})

    async def pause_dispatch(self) -> None:
        await self.post(f"{self.made['dispatch']}/pause")

    async def resume_dispatch(self) -> None:
        await self.post(f"{self.made['dispatch']}/resume")

    async def cancel_dispatch(self) -> None:
        await self.post(f"{self.made['dispatch']}/cancel")

    async def pause_channel(self) -> None:
        await self.post("/v1/channels/sms/pause", {"reason": "wrong words"})

    async def resume_channel(self) -> None:
        await self.post("/v1/channels/sms/resume")

    async def put_account(self) -> None:
        await self.call("PUT", "/v1/accounts/new", {"name": "New"})

    async def put_contact(self) -> None:
        body = {"account": "new", "name": "Nora", "email": "nora@example.com"}
        await self.call("PUT", "/v1/contacts/nora", body)

    async def put_component(self) -> None:
        body = {"name": "search-api", "public_name": "Search"}
        await self.call("PUT", "/v1/components/search", body)

    async def erase_contact(self) -> None:
        await self.call("DELETE", "/v1/contacts/nora")

    async def remove_account(self) -> None:
        await self.call("DELETE", "/v1/accounts/new")

    async def add_suppression(self) -> None:
        await self.post("/v1/suppressions", {"channel": "email", "address": "x@example.com"})

    async def remove_suppression(self) -> None:
        body = {"channel": "email", "address": "x@example.com"}
        await self.call("DELETE", "/v1/suppressions", body)

    async def post_source(self) -> None:
        self.made["sender"] = await source(self.api, Kind.PAGERDUTY)
        self.made["source"] = f"/v1/sources/{self.made['sender'].id}"

    async def patch_source(self) -> None:
        await self.call("PATCH", self.made["source"], {"severity": "P3"})

    async def post_intake(self) -> None:
        answer = await self.made["sender"].send(pagerduty(), self.ctx.now())
        assert answer.status == 202, answer.body
        self.made["event"] = f"{self.made['source']}/events/{answer.json['event_id']}"

    async def replay_intake_event(self) -> None:
        await self.post(f"{self.made['event']}/replay", {"force": True})

    async def rotate_source(self) -> None:
        await self.post(f"{self.made['source']}/rotate", {})

    async def remove_source(self) -> None:
        await self.call("DELETE", self.made["source"])

    async def post_webhook(self) -> None:
        made = await self.post("/v1/webhooks", {"url": self.hook, "events": ["source.error"]})
        self.made["hook"] = f"/v1/webhooks/{made['id']}"

    async def patch_webhook(self) -> None:
        await self.call("PATCH", self.made["hook"], {"description": "tickets"})

    async def rotate_webhook(self) -> None:
        await self.post(f"{self.made['hook']}/rotate", {})

    async def test_webhook(self) -> None:
        tested = await self.post(f"{self.made['hook']}/test")
        self.made["delivery"] = f"{self.made['hook']}/deliveries/{tested['delivery_id']}"

    async def resend_webhook_delivery(self) -> None:
        await self.post(f"{self.made['delivery']}/resend")

    async def disable_webhook(self) -> None:
        await self.post(f"{self.made['hook']}/disable")

    async def enable_webhook(self) -> None:
        await self.post(f"{self.made['hook']}/enable")

    async def remove_webhook(self) -> None:
        await self.call("DELETE", self.made["hook"])

    async def post_user(self) -> None:
        body = {"email": "bob@example.com", "name": "Bob", "role": "viewer"}
        self.made["bob"] = f"/v1/users/{(await self.post('/v1/users', body))['id']}"

    async def patch_user(self) -> None:
        await self.call("PATCH", self.made["bob"], {"role": "author"})

    async def post_user_link(self) -> None:
        self.made["token"] = (await self.post(f"{self.made['bob']}/link"))["token"]

    async def post_invitation(self) -> None:
        await accept(self.api.bearing(None), self.made["token"])

    async def post_session(self) -> None:
        self.made["his"] = await sign_in(self.api.bearing(None), "bob")

    async def post_password(self) -> None:
        body = {"old": PASSWORD, "new": "a bicycle in the rain"}
        answer = await self.made["his"].call("POST", "/v1/me/password", body)
        assert answer.status == 200, answer.body

    async def end_session(self) -> None:
        his = await sign_in(self.api.bearing(None), "bob", "a bicycle in the rain")
        assert (await his.call("DELETE", "/v1/sessions/current")).status == 200

    async def post_key(self) -> None:
        body = {"name": "ci", "scopes": ["updates:write"], "owner": "system"}
        self.made["key"] = f"/v1/keys/{(await self.post('/v1/keys', body))['id']}"

    async def rotate_key(self) -> None:
        await self.post(f"{self.made['key']}/rotate", {})

    async def revoke_key(self) -> None:
        await self.call("DELETE", self.made["key"])


# Those whom somebody else does, by what they are: a system, or Bob.
BY_OTHERS: Final = {
    "post_intake",
    "post_invitation",
    "post_session",
    "post_password",
    "end_session",
}


@pytest.fixture
def web_settings(plain_settings: Settings) -> Settings:
    own = WebhookSettings(allow_networks=(ip_network("127.0.0.0/8"),), http_hosts=("127.0.0.1",))
    return plain_settings.model_copy(update={"webhooks": own})


async def test_every_write_there_is_leaves_who_did_it_and_to_what(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    me = (await ada.get("/v1/me")).json["user"]["id"]
    writes = {
        route.operation
        for route in ROUTES
        if route.path.startswith("/v1/") and route.method not in {"GET", "HEAD", "OPTIONS"}
    }
    steps: dict[str, Callable[[Day], Awaitable[None]]] = {
        name: step
        for name, step in vars(Day).items()
        if not name.startswith("_") and name not in {"call", "post"} and callable(step)
    }
    assert set(steps) | set(WITHOUT) == writes, "a new write needs a step here, or a reason"

    async with receiving() as receiver, ctx.pool.acquire() as conn:
        day = Day(ada, ctx, receiver.url)
        for name, step in steps.items():
            before = await conn.fetchval("select coalesce(max(id), 0) from audit")
            await step(day)
            left = await conn.fetch("select * from audit where id > $1", before)
            assert left, name
            for row in left:
                assert row["object"], name
                assert (row["actor"] == f"user:{me}") is (name not in BY_OTHERS), name
                assert "@" not in str(dict(row)), name
        wrote = await conn.fetch("select distinct created_by from incident_update")
        assert f"user:{me}" in {row["created_by"] for row in wrote}
        assert not any(row["created_by"].startswith("key:") for row in wrote)


async def test_an_admin_reads_the_log_by_who_what_and_when(anonymous: Api, ctx: Context) -> None:
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    bob = await invite(ctx, "bob", Role.AUTHOR)
    me = (await ada.get("/v1/me")).json["user"]["id"]
    everything = (await ada.get("/v1/audit")).json["data"]
    assert [entry["action"] for entry in everything][:2] == ["user.link", "user.create"]
    assert everything[1]["detail"] == {"role": "author", "accounts": 0}
    paged = (await ada.get("/v1/audit?limit=4")).json
    rest = (await ada.get(f"/v1/audit?limit=200&cursor={paged['next_cursor']}")).json
    assert paged["data"] + rest["data"] == everything
    of_bob = (await ada.get(f"/v1/audit?object={bob.id}")).json["data"]
    assert of_bob == everything[:2]
    hers = (await ada.get(f"/v1/audit?actor=user:{me}&action=session.begin")).json["data"]
    assert [entry["object"] for entry in hers] == [me]
    later = (ctx.now() + timedelta(seconds=1)).isoformat().replace("+", "%2B")
    assert (await ada.get(f"/v1/audit?since={later}")).json["data"] == []
    await accept(anonymous, bob.link.token)
    refused = await (await sign_in(anonymous, "bob")).get("/v1/audit")
    assert refused.kind == "missing-scope"
