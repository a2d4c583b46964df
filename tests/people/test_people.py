"""People and their keys at the API: roles bound them, and one admin always remains."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dispatcher.clocks.maintenance import maintain
from dispatcher.context import Context
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.roles import Role
from dispatcher.web.ids import USER
from dispatcher.web.people import store
from dispatcher.web.people.models import UserPatch
from dispatcher.web.people.users import change_user
from dispatcher.web.scopes import Scope
from tests.cli.conftest import Tidings
from tests.flow.story import MovableClock, contact, eventually, seed, update
from tests.people.words import PASSWORD, accept, invite, sign_in, somebody
from tests.web.client import Api, key_with

# Whether somebody in this database waits for a lock.
WAITS_SQL = """
select exists(select from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock')
"""


async def test_an_admin_invites_changes_and_disables_on_the_version_they_saw(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "big")])
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    body = {"email": "BOB@example.com", "name": "Bob", "role": "account_manager"}
    made = await ada.call("POST", "/v1/users", body | {"account_ids": ["big"]})
    path = made.headers["Location"]
    bob = made.json
    token = bob.pop("link")["token"]
    assert (bob["email"], bob["account_ids"]) == ("bob@example.com", ["big"])
    assert (await ada.call("POST", "/v1/users", body)).kind == "user-exists"
    unknown = await ada.call(
        "POST", "/v1/users", body | {"email": "c@example.com", "account_ids": ["none"]}
    )
    assert unknown.json["errors"][0]["pointer"] == "/account_ids"
    assert (await ada.call("POST", "/v1/users", body | {"email": "bob"})).status == 422
    listed = (await ada.get("/v1/users")).json["data"]
    assert [person["email"] for person in listed] == ["ada@example.com", "bob@example.com"]

    seen = await ada.get(path)
    assert seen.json == bob
    change = {"role": "viewer", "account_ids": ["small"]}
    assert (await ada.call("PATCH", path, change)).kind == "if-match-missing"
    given = {"If-Match": seen.headers["ETag"]}
    changed = await ada.call("PATCH", path, change, headers=given)
    assert changed.json == bob | change
    assert (await ada.call("PATCH", path, change, headers=given)).kind == "changed-meanwhile"
    assert (await ada.call("DELETE", path)).kind == "method-not-allowed"

    newer = (await ada.call("POST", f"{path}/link")).json
    old = {"token": token, "password": PASSWORD}
    assert (await anonymous.call("POST", "/v1/invitations", old)).kind == "link-over"
    disabled = await ada.call("PATCH", path, {"disabled": True}, headers={"If-Match": "*"})
    assert disabled.json["disabled"]
    assert (await ada.call("POST", f"{path}/link")).kind == "user-disabled"
    late = {"token": newer["token"], "password": PASSWORD}
    assert (await anonymous.call("POST", "/v1/invitations", late)).kind == "link-over"


async def test_two_admins_cannot_take_the_last_admins_away_together(
    anonymous: Api, ctx: Context
) -> None:
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    me = (await ada.get("/v1/me")).json["user"]["id"]
    others = [(await invite(ctx, f"b{n}", Role.ADMIN)).id for n in range(3)]
    changes = [{"role": "viewer"}, {"disabled": True}, {"role": "author"}, {"disabled": True}]
    system = anonymous.bearing(await key_with(ctx, Scope.ADMIN))
    answers = await asyncio.gather(
        *(
            system.call("PATCH", f"/v1/users/{who}", change, headers={"If-Match": "*"})
            for who, change in zip([me, *others], changes, strict=True)
        )
    )
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 409]
    (refused,) = (answer for answer in answers if answer.status == 409)
    assert refused.kind == "last-admin"
    async with ctx.pool.acquire() as conn:
        left = "select count(*) from users where role = 'admin' and disabled_at is null"
        assert await conn.fetchval(left) == 1


async def test_who_takes_an_admin_away_waits_for_who_is_taking_another(ctx: Context) -> None:
    """Held at the moment between the change and its commit, when neither could see the other's."""
    ada, bob = [
        ctx.signer.read_public_id(USER, (await invite(ctx, name, Role.ADMIN)).id)
        for name in ("ada", "bob")
    ]
    demoted = UserPatch(role=Role.VIEWER)
    async with ctx.pool.acquire() as conn, conn.transaction():
        await store.change(conn, await store.lock(conn, ada), demoted, now=ctx.now())
        other = asyncio.create_task(change_user(ctx, bob, demoted, actor="cli"))

        async def stands() -> bool:
            return other.done() or await conn.fetchval(WAITS_SQL)

        await eventually(stands, what="the other waits")
    with pytest.raises(RefusedError) as refused:
        await other
    assert refused.value.kind == "last-admin"
    async with ctx.pool.acquire() as conn:
        assert [user.role for user in await store.list_users(conn, after=0, limit=9)] == [
            Role.VIEWER,
            Role.ADMIN,
        ]


async def test_a_person_makes_keys_within_their_role_and_an_admin_for_systems(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    bob = await somebody(ctx, anonymous, Role.AUTHOR, name="bob")
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    mine = {"name": "script", "scopes": ["updates:write", "incidents:read"]}
    beyond = {"name": "script", "scopes": ["segments:write"]}
    assert (await bob.call("POST", "/v1/keys", beyond)).kind == "missing-scope"
    assert (await bob.call("POST", "/v1/keys", mine | {"owner": "system"})).status == 403
    made = (await bob.call("POST", "/v1/keys", mine | {"expires_in_days": 30})).json
    script = anonymous.bearing(made["key"])
    me = (await script.get("/v1/me")).json
    assert (me["kind"], me["user"]["email"]) == ("key", "bob@example.com")
    # A key that was stolen cannot make itself a longer life; its person can end it.
    assert (await script.call("POST", "/v1/keys", mine)).kind == "signed-in-only"
    assert (await script.call("POST", "/v1/me/password", {"old": "x", "new": "y"})).status == 403

    system = (await ada.call("POST", "/v1/keys", mine | {"owner": "system", "name": "ci"})).json
    assert system["user_id"] is None
    machine = anonymous.bearing(system["key"])
    assert (await machine.get("/v1/me")).json["user"] is None
    assert (await machine.get("/v1/keys")).kind == "missing-scope"
    assert (await machine.call("POST", "/v1/keys", mine | {"owner": "me"})).status == 422
    assert (await machine.call("POST", "/v1/keys", mine)).kind == "missing-scope"

    assert [key["id"] for key in (await bob.get("/v1/keys")).json["data"]] == [made["id"]]
    first = (await ada.get("/v1/keys?limit=1")).json
    second = (await ada.get(f"/v1/keys?cursor={first['next_cursor']}")).json
    named = [key["name"] for key in first["data"] + second["data"]]
    assert sorted(named) == ["ci", "script"]
    assert (await ada.get("/v1/keys?cursor=WyJ4IiwieSJd")).kind == "invalid-query"

    path = f"/v1/keys/{system['id']}"
    assert (await bob.call("POST", f"{path}/rotate", {})).status == 404
    assert (await bob.call("DELETE", path)).status == 404
    # An admin can end another person's key, and never gets one that acts under their name.
    theirs = f"/v1/keys/{made['id']}"
    assert (await ada.call("POST", f"{theirs}/rotate", {})).kind == "key-of-another"
    assert (await script.call("DELETE", path)).status == 404
    # A system can replace its own key.
    rotated = (await machine.call("POST", f"{path}/rotate", {"overlap_hours": 2})).json
    assert (rotated["name"], rotated["scopes"]) == (system["name"], system["scopes"])
    assert (await machine.call("POST", f"{path}/rotate", {})).kind == "key-over"
    clock.move(timedelta(hours=1, minutes=59))
    assert (await machine.get("/v1/incidents")).status == 200
    clock.move(timedelta(minutes=1))
    assert (await machine.get("/v1/incidents")).kind == "key-expired"
    assert (await anonymous.bearing(rotated["key"]).get("/v1/incidents")).status == 200
    # What had an end has one again, as far away.
    again = await script.call("POST", f"/v1/keys/{made['id']}/rotate", {"overlap_hours": 0})
    assert again.json["expires_at"] > made["expires_at"]
    assert (await script.get("/v1/me")).kind == "key-expired"
    ended = await sign_in(anonymous, "bob")
    assert (await ended.call("DELETE", f"/v1/keys/{again.json['id']}")).json["result"] == "removed"
    revoked = anonymous.bearing(again.json["key"])
    assert (await revoked.get("/v1/me")).kind == "key-revoked"


async def test_what_an_author_writes_goes_out_only_by_who_may_approve(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    body = update(ctx).model_dump(mode="json", exclude_unset=True)
    author = await somebody(ctx, anonymous, Role.AUTHOR)
    refused = await author.update(body, "k1")
    assert refused.kind == "missing-scope"
    assert "approvals:write" in refused.json["detail"]
    assert (await author.update({**body, "mode": "dry_run"}, "k2")).status == 200
    draft = await author.update({**body, "mode": "draft"}, "k3")
    assert (draft.status, draft.json["state"]) == (202, "draft")

    lead = await somebody(ctx, anonymous, Role.COMMS_LEAD, name="lead")
    scripted = {"name": "x", "scopes": ["updates:write"]}
    key = (await lead.call("POST", "/v1/keys", scripted)).json["key"]
    assert (await anonymous.bearing(key).update(body, "k4")).kind == "missing-scope"
    assert (await lead.update(body, "k5")).json["state"] != "draft"
    system = anonymous.bearing(await key_with(ctx, Scope.UPDATES_WRITE))
    assert (await system.update(body, "k6")).json["state"] != "draft"


async def test_a_link_to_a_report_outlives_the_session_it_was_made_in_and_not_a_new_password(
    anonymous: Api, ctx: Context
) -> None:
    await seed(ctx, [contact(1, "small")])
    lead = await somebody(ctx, anonymous, Role.COMMS_LEAD)
    body = update(ctx).model_dump(mode="json", exclude_unset=True)
    dispatch = (await lead.update(body)).json["dispatch_id"]
    links = []
    for _ in range(2):
        made = await lead.call("POST", f"/v1/dispatches/{dispatch}/links", {})
        links.append(made.json["url"].removeprefix(anonymous.base))
        await lead.call("DELETE", "/v1/sessions/current")
        assert (await anonymous.get(links[-1])).status == 200
        lead = await sign_in(anonymous, "ada")
    # Whose session may have been stolen gets a new password, and what was made in it ends as well.
    stolen = await lead.call("POST", f"/v1/dispatches/{dispatch}/links", {})
    change = {"old": PASSWORD, "new": "a bicycle in the rain"}
    assert (await lead.call("POST", "/v1/me/password", change)).status == 200
    for link in (*links, stolen.json["url"].removeprefix(anonymous.base)):
        assert (await anonymous.get(link)).status == 403


async def test_what_is_over_is_forgotten_and_what_was_asked_in_it_is_not_lost_before(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "small")])
    lead = await somebody(ctx, anonymous, Role.COMMS_LEAD)
    body = update(ctx, mode="draft").model_dump(mode="json", exclude_unset=True)
    assert (await lead.update(body)).status == 202
    await accept(anonymous, (await invite(ctx, "bob", Role.VIEWER)).link.token)
    await anonymous.call("POST", "/v1/sessions", {"email": "x@example.com", "password": "wrong"})

    async def left() -> list[int]:
        async with ctx.pool.acquire() as conn:
            tables = ("api_key", "user_link", "sign_in_brake")
            return [await conn.fetchval(f"select count(*) from {name}") for name in tables]

    # A failure counts for the pair, the address and the e-mail; two were let in from somewhere.
    assert await left() == [1, 2, 3 + 2]
    clock.move(timedelta(days=2))
    await maintain(ctx)
    assert await left() == [1, 2, 2]
    clock.move(timedelta(days=40))
    async with ctx.pool.acquire() as conn:
        # As if it had been asked for just now: the answer must still be found.
        await conn.execute("update idempotency set created_at = $1", ctx.now())
        await maintain(ctx)
        assert await left() == [1, 0, 2]
        clock.move(timedelta(days=50))
        await conn.execute("update idempotency set created_at = $1", ctx.now() - timedelta(days=4))
    await maintain(ctx)
    assert await left() == [0, 0, 0]


async def test_who_revokes_a_key_learns_which_came_from_it_and_are_good(
    anonymous: Api, ctx: Context, tidings: Tidings
) -> None:
    ada = await somebody(ctx, anonymous, Role.ADMIN)
    body = {"name": "ci", "scopes": ["incidents:read"], "owner": "system"}
    keys = [(await ada.call("POST", "/v1/keys", body)).json]
    for _ in range(3):  # as a thief would, with the key itself
        last = keys[-1]
        thief = anonymous.bearing(last["key"])
        keys.append((await thief.call("POST", f"/v1/keys/{last['id']}/rotate", {})).json)
    ids = [key["id"] for key in keys]
    assert (await ada.call("DELETE", f"/v1/keys/{ids[2]}")).json["successors"] == ids[3:]
    ended = (await ada.call("DELETE", f"/v1/keys/{ids[0]}")).json
    assert ended["result"] == "removed"
    assert set(ended["successors"]) == {ids[1], ids[3]}
    told = await tidings("keys", "revoke", ids[1], "--yes")
    assert f"tidings keys revoke {ids[3]}" in told.out
    last_told: Any = (await tidings("keys", "revoke", ids[3], "--yes", "--json")).json
    assert last_told == {"result": "removed", "successors": []}
    again = (await ada.call("DELETE", f"/v1/keys/{ids[0]}")).json
    assert again == {"result": "unchanged", "successors": []}
    for key in keys:
        assert (await anonymous.bearing(key["key"]).get("/v1/incidents")).kind == "key-revoked"


async def test_the_command_line_makes_no_key_of_a_person_anew(
    anonymous: Api, ctx: Context, tidings: Tidings
) -> None:
    bob = await somebody(ctx, anonymous, Role.VIEWER, name="bob")
    made = (await bob.call("POST", "/v1/keys", {"name": "x", "scopes": ["incidents:read"]})).json
    refused = await tidings("keys", "rotate", made["id"])
    assert (refused.code, "belongs to somebody else" in refused.err) == (2, True)


async def test_what_is_left_of_the_limits_tells_an_account_manager_nothing_of_others(
    anonymous: Api, ctx: Context
) -> None:
    for role, name, hidden in (
        (Role.VIEWER, "bob", False),
        (Role.ACCOUNT_MANAGER, "mia", True),
    ):
        caller = await somebody(ctx, anonymous, role, name=name)
        senders = [
            sender
            for channel in (await caller.get("/v1/channels")).json["data"]
            for sender in channel["senders"]
        ]
        windows = [window for sender in senders for window in sender["windows"]]
        assert windows
        assert {window["left"] is None for window in windows} == {hidden}
        assert all(window["limit"] for window in windows)
