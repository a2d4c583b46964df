"""Signing in: with the right password only, not too often, and over when it must be."""

import asyncio
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from dispatcher.context import Context
from dispatcher.rules.problem import RefusedError
from dispatcher.rules.roles import SCOPES_OF, Role
from dispatcher.web.ids import USER
from dispatcher.web.people import passwords
from dispatcher.web.people.models import UserPatch
from dispatcher.web.people.users import change_user, link_user
from tests.flow.story import MovableClock
from tests.people.words import PASSWORD, accept, invite, sign_in, somebody
from tests.web.client import Answer, Api


async def _try(anonymous: Api, password: str, email: str = "ada@example.com") -> Answer:
    return await anonymous.call("POST", "/v1/sessions", {"email": email, "password": password})


async def _actions(ctx: Context) -> list[tuple[str, str, str]]:
    async with ctx.pool.acquire() as conn:
        rows = await conn.fetch("select actor, action, object from audit order by id")
    return [(row["actor"], row["action"], row["object"]) for row in rows]


async def test_a_link_sets_a_password_once_and_the_password_lets_in(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    invited = await invite(ctx, "ada", Role.AUTHOR)
    assert (await _try(anonymous, PASSWORD)).kind == "wrong-credentials"
    weak = {"token": invited.link.token, "password": "ada@example.com"}
    assert (await anonymous.call("POST", "/v1/invitations", weak)).status == 422
    both = await asyncio.gather(
        *(
            anonymous.call(
                "POST", "/v1/invitations", {"token": invited.link.token, "password": word}
            )
            for word in (PASSWORD, PASSWORD)
        )
    )
    assert sorted(answer.status for answer in both) == [200, 403]
    session = await _try(anonymous, PASSWORD, email=" ADA@example.com")
    assert session.json["user"]["id"] == invited.id

    me = await anonymous.bearing(session.json["token"]).get("/v1/me")
    assert me.json["kind"] == "session"
    assert me.json["user"]["role"] == "author"
    assert set(me.json["scopes"]) == SCOPES_OF[Role.AUTHOR]

    other = await invite(ctx, "bob", Role.VIEWER)
    clock.move(timedelta(hours=24))
    late = {"token": other.link.token, "password": PASSWORD}
    assert (await anonymous.call("POST", "/v1/invitations", late)).kind == "link-over"
    # Neither links nor passwords nor tokens are anywhere in the database as they are.
    async with ctx.pool.acquire() as conn:
        tables = ("users", "user_link", "api_key", "audit", "sign_in_brake")
        stored = [str(dict(row)) for name in tables for row in await conn.fetch(f"table {name}")]
    for secret in (PASSWORD, invited.link.token, session.json["token"].rpartition("_")[2]):
        assert not any(secret in row for row in stored)


async def test_a_session_ends_by_itself_by_signing_out_and_with_the_password(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    ada = await somebody(ctx, anonymous, Role.VIEWER)
    clock.move(timedelta(hours=1, minutes=59))
    assert (await ada.get("/v1/me")).status == 200
    clock.move(timedelta(hours=2))
    assert (await ada.get("/v1/me")).kind == "session-over"

    busy = await sign_in(anonymous, "ada")
    for _ in range(6):
        clock.move(timedelta(hours=1, minutes=55))
        assert (await busy.get("/v1/me")).status == 200
    clock.move(timedelta(minutes=30))
    assert (await busy.get("/v1/me")).kind == "session-over"

    first, second = await sign_in(anonymous, "ada"), await sign_in(anonymous, "ada")
    assert (await first.call("DELETE", "/v1/sessions/current")).status == 200
    assert (await first.get("/v1/me")).kind == "session-over"
    assert (await second.get("/v1/me")).status == 200
    fresh = "a bicycle in the rain"
    change = {"old": "something else entirely", "new": fresh}
    assert (await second.call("POST", "/v1/me/password", change)).kind == "wrong-credentials"
    change = {"old": PASSWORD, "new": fresh}
    assert (await second.call("POST", "/v1/me/password", change)).status == 200
    assert (await second.get("/v1/me")).kind == "session-over"
    assert (await _try(anonymous, PASSWORD)).kind == "wrong-credentials"
    again = await sign_in(anonymous, "ada", fresh)
    assert (await again.get("/v1/me")).status == 200


async def test_failures_close_the_door_for_longer_and_longer_whether_or_not_anybody_has_the_email(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    ada = await invite(ctx, "ada", Role.VIEWER)
    await accept(anonymous, ada.link.token)
    waits: dict[str, list[int]] = {"ada@example.com": [], "nobody@example.com": []}
    for email, seen in waits.items():
        # Many at once are no way around it.
        answers = await asyncio.gather(*(_try(anonymous, "wrong", email) for _ in range(7)))
        assert [a.status for a in answers].count(401) == 5
        for _ in range(2):
            closed = await _try(anonymous, PASSWORD, email)
            assert closed.kind == "too-many-attempts"
            seen.append(int(closed.headers["Retry-After"]))
            clock.move(timedelta(seconds=seen[-1]))
            assert (await _try(anonymous, "wrong", email)).kind == "wrong-credentials"
    assert waits["ada@example.com"] == waits["nobody@example.com"] == [15, 30]

    # Who is let in again by an admin's link need not wait.
    await accept(anonymous, await _new_link(ctx, ada.id), "a bicycle in the rain")
    await sign_in(anonymous, "ada", "a bicycle in the rain")
    actions = await _actions(ctx)
    assert ("nobody", "session.lock", ada.id) in actions
    assert ("nobody", "session.refuse", "user:unknown") in actions
    assert (f"user:{ada.id}", "session.begin", ada.id) in actions
    async with ctx.pool.acquire() as conn:
        everything = [str(dict(row)) for row in await conn.fetch("table audit")]
    assert not any("@" in row for row in everything)


async def test_who_is_disabled_is_out_at_once_with_sessions_and_keys(
    anonymous: Api, ctx: Context
) -> None:
    invited = await invite(ctx, "ada", Role.COMMS_LEAD)
    await accept(anonymous, invited.link.token)
    ada = await sign_in(anonymous, "ada")
    body = {"name": "script", "scopes": ["incidents:read"]}
    key = (await ada.call("POST", "/v1/keys", body)).json["key"]
    script = anonymous.bearing(key)
    assert (await script.get("/v1/incidents")).status == 200

    late = {"token": await _new_link(ctx, invited.id), "password": "five green bottles"}
    await _change(ctx, invited.id, disabled=True)
    for caller in (ada, script):
        assert (await caller.get("/v1/me")).kind == "person-disabled"
    assert (await _try(anonymous, PASSWORD)).kind == "person-disabled"
    assert (await _try(anonymous, "wrong")).kind == "wrong-credentials"

    await _change(ctx, invited.id, disabled=False)
    assert (await script.get("/v1/incidents")).status == 200
    assert (await ada.get("/v1/me")).kind == "session-over"
    # A link that was under way when they were disabled does not come back with them.
    assert (await anonymous.call("POST", "/v1/invitations", late)).kind == "link-over"


async def test_a_new_role_counts_from_the_next_call_on(anonymous: Api, ctx: Context) -> None:
    invited = await invite(ctx, "ada", Role.COMMS_LEAD)
    await accept(anonymous, invited.link.token)
    ada = await sign_in(anonymous, "ada")
    body = {"name": "script", "scopes": ["incidents:read", "segments:write"]}
    script = anonymous.bearing((await ada.call("POST", "/v1/keys", body)).json["key"])
    for caller in (ada, script):
        assert (await caller.get("/v1/suppressions")).status == 200

    await _change(ctx, invited.id, role=Role.VIEWER)
    for caller in (ada, script):
        assert (await caller.get("/v1/suppressions")).kind == "missing-scope"
        assert (await caller.get("/v1/incidents")).status == 200
    assert (await script.get("/v1/me")).json["scopes"] == ["incidents:read"]

    await _change(ctx, invited.id, role=Role.ADMIN)
    assert (await ada.get("/v1/users")).status == 200
    assert (await script.get("/v1/users")).kind == "missing-scope"


async def test_a_password_stored_with_less_effort_is_stored_anew_at_the_next_sign_in(
    anonymous: Api, ctx: Context
) -> None:
    await accept(anonymous, (await invite(ctx, "ada", Role.VIEWER)).link.token)
    cheap = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    async with ctx.pool.acquire() as conn:
        await conn.execute("update users set password_hash = $1", cheap.hash(PASSWORD))
        ada = await sign_in(anonymous, "ada")
        stored = await conn.fetchval("select password_hash from users")
    assert not passwords.is_outdated(stored)
    assert (await ada.get("/v1/me")).status == 200
    await sign_in(anonymous, "ada")


def test_what_nobody_has_takes_as_long_to_refuse() -> None:
    assert not passwords.is_outdated(passwords.NOBODYS_HASH)


@pytest.mark.parametrize(
    "password",
    [
        "short words",
        "Ada@Example.com",
        "ada-example-2026",
        "Tidings12345",
        "password-1234",
        "aaaaaaaaaaaaaaaa",
        "\uff41\uff44\uff41@example.com!!",
    ],
)
def test_what_everybody_would_try_first_is_refused(password: str) -> None:
    with pytest.raises(RefusedError) as refused:
        passwords.refuse_weak(password, pointer="/password", email="ada@example.com", brand="Acme")
    assert refused.value.problems[0].code == "weak_password"


@pytest.mark.parametrize("password", [PASSWORD, "x7!kq9#vLp2&", "ada likes four bottles"])
def test_any_other_long_one_is_taken(password: str) -> None:
    passwords.refuse_weak(password, pointer="/password", email="ada@example.com", brand="Acme")


async def _change(ctx: Context, public: str, **changes: object) -> None:
    number = ctx.signer.read_public_id(USER, public)
    await change_user(ctx, number, UserPatch.model_validate(changes), actor="cli")


async def _new_link(ctx: Context, public: str) -> str:
    number = ctx.signer.read_public_id(USER, public)
    return (await link_user(ctx, number, actor="cli")).token
