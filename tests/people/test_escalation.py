"""Whoever may little does not come to more by a detour: of a dispatch, a link, a stream, another's key."""

from datetime import timedelta

from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.ids import USER
from dispatcher.web.people.models import UserPatch
from dispatcher.web.people.users import change_user, link_user
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, seed, update
from tests.people.browser import WholeClock, clock
from tests.people.words import PASSWORD, sign_in, somebody
from tests.web.client import Api, events_of, key_with

__all__ = ["clock"]


async def test_a_dispatch_is_held_withdrawn_and_let_go_only_by_who_may_send_it(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    body = update(ctx).model_dump(mode="json", exclude_unset=True)
    lead = await somebody(ctx, anonymous, Role.COMMS_LEAD, name="lead")
    dispatch = f"/v1/dispatches/{(await lead.update(body)).json['dispatch_id']}"
    author = await somebody(ctx, anonymous, Role.AUTHOR)
    narrow = {"name": "x", "scopes": ["updates:write"]}
    script = anonymous.bearing((await lead.call("POST", "/v1/keys", narrow)).json["key"])
    for caller in (author, script):
        for action in ("pause", "resume", "cancel"):
            refused = await caller.call("POST", f"{dispatch}/{action}")
            assert refused.kind == "missing-scope"
            assert "approvals:write" in refused.json["detail"]
    assert (await lead.call("POST", f"{dispatch}/pause")).status == 200
    assert (await author.call("POST", f"{dispatch}/resume")).kind == "missing-scope"
    # What a system posts it may withdraw.
    system = anonymous.bearing(await key_with(ctx, Scope.UPDATES_WRITE))
    assert (await system.call("POST", f"{dispatch}/resume")).status == 200
    assert (await system.call("POST", f"{dispatch}/cancel")).status == 200


async def test_whoever_looks_on_is_shown_no_more_once_they_are_disabled(
    anonymous: Api, ctx: Context, clock: WholeClock
) -> None:
    await seed(ctx, [contact(1, "small")])
    body = update(ctx).model_dump(mode="json", exclude_unset=True)
    lead = await somebody(ctx, anonymous, Role.COMMS_LEAD)
    number = ctx.signer.read_public_id(USER, (await lead.get("/v1/me")).json["user"]["id"])
    dispatch = (await lead.update(body)).json["dispatch_id"]
    system = anonymous.bearing(await key_with(ctx, Scope.ADMIN))
    async with (
        events_of(lead, path=f"/reports/{dispatch}/events") as gone,
        events_of(system, path=f"/reports/{dispatch}/events") as stays,
    ):
        for events in (gone, stays):
            assert (await events.next())[0] == "progress"
        await change_user(ctx, number, UserPatch(disabled=True), actor="cli")
        clock.move(timedelta(seconds=11))
        await system.call("POST", f"/v1/dispatches/{dispatch}/pause")
        assert (await stays.next())[0] == "progress"
        assert await gone.next() == ("end", None)


async def test_a_link_that_was_not_used_ends_with_a_new_password(
    anonymous: Api, ctx: Context
) -> None:
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    number = ctx.signer.read_public_id(USER, (await ada.get("/v1/me")).json["user"]["id"])
    lost = {"token": (await link_user(ctx, number, actor="cli")).token, "password": "not her words"}
    fresh = "a bicycle in the rain"
    change = {"old": PASSWORD, "new": fresh}
    assert (await ada.call("POST", "/v1/me/password", change)).status == 200
    assert (await anonymous.call("POST", "/v1/invitations", lost)).kind == "link-over"
    await sign_in(anonymous, "ada", fresh)
