"""`tidings users`, `keys rotate` and `audit`, as docs/people.md shows them."""

import asyncio
from datetime import timedelta, timezone
from typing import Any

import pytest

from dispatcher.app.processes import serve
from dispatcher.context import Context
from tests.cli.conftest import Tidings
from tests.people.words import PASSWORD, accept, sign_in
from tests.web.client import Api

NOTHING: dict[str, Any] = {"data": [], "next_cursor": None}


async def test_the_first_admin_comes_by_a_link_from_the_command_line(
    tidings: Tidings, anonymous: Api, ctx: Context
) -> None:
    made = await tidings("users", "create", "Ada@Example.com", "--role", "admin", "--json")
    ada: Any = made.json
    assert (ada["email"], ada["role"], ada["has_password"]) == ("ada@example.com", "admin", False)
    await accept(anonymous, ada["link"]["token"])
    admin = await sign_in(anonymous, "ada")
    assert (await admin.get("/v1/users")).json["data"][0]["id"] == ada["id"]

    again = await tidings("users", "create", "ada@example.com", "--role", "viewer")
    assert (again.code, "works here already" in again.err) == (2, True)
    worded = await tidings("users", "create", "bob@example.com", "--role", "viewer")
    token = worded.out.split("token: ")[1].split("\n")[0]
    assert f'"token": "{token}"' in worded.out
    newer: Any = (await tidings("users", "link", "bob@example.com", "--json")).json
    old = {"token": token, "password": PASSWORD}
    assert (await anonymous.call("POST", "/v1/invitations", old)).kind == "link-over"
    await accept(anonymous, newer["token"])

    assert (await tidings("users", "disable", "ada@example.com")).code == 2
    assert (await tidings("users", "set-role", ada["id"], "viewer")).code == 2
    assert (await tidings("users", "set-role", "bob@example.com", "admin")).code == 0
    assert (await tidings("users", "disable", "ada@example.com")).code == 0
    assert (await admin.get("/v1/me")).kind == "person-disabled"
    shown: Any = (await tidings("users", "show", "ada@example.com", "--json")).json
    assert shown["disabled"]
    listed = await tidings("users", "list")
    assert "ada@example.com admin disabled password" in listed.out
    assert (await tidings("users", "link", "ada@example.com")).code == 2
    assert (await tidings("users", "enable", ada["id"])).code == 0
    assert (await tidings("users", "show", "carol@example.com")).code == 2

    done: Any = (await tidings("audit", "--object", ada["id"], "--json")).json
    assert [entry["action"] for entry in done["data"]] == [
        "user.change",
        "user.change",
        "session.begin",
        "user.password",
        "user.link",
        "user.create",
    ]
    by_her = await tidings("audit", "--actor", f"user:{ada['id']}", "--action", "session.begin")
    assert by_her.out.count("session.begin") == 1
    assert (await tidings("audit", "--since", "2999-01-01", "--json")).json == NOTHING
    zoned = await tidings("audit", "--since", f"{ctx.now() + timedelta(hours=1):%FT%TZ}", "--json")
    assert zoned.json == NOTHING
    east = timezone(timedelta(hours=14))
    since = f"{(ctx.now() - timedelta(hours=1)).astimezone(east).isoformat()}"
    found: Any = (await tidings("audit", "--since", since, "--json")).json
    assert len(found["data"]) > 1
    ancient = await tidings("audit", "--since", "0001-01-01")
    assert (ancient.code, "Traceback" in ancient.err) == (2, False)


async def test_a_rotated_key_works_beside_the_new_one_for_a_while(
    tidings: Tidings, anonymous: Api
) -> None:
    made: Any = (await tidings("keys", "create", "ci", "--scope", "incidents:read", "--json")).json
    rotated: Any = (await tidings("keys", "rotate", made["id"], "--json")).json
    for key in (made["key"], rotated["key"]):
        assert (await anonymous.bearing(key).get("/v1/incidents")).status == 200
    listed = await tidings("keys", "list")
    assert f"replaced by {rotated['id']}" in " ".join(listed.out.split())
    assert (await tidings("keys", "rotate", made["id"])).code == 2
    assert (await tidings("keys", "rotate", "cli")).code == 2


async def test_web_says_how_to_make_the_first_admin_until_there_is_one(
    tidings: Tidings, ctx: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    for expected in (True, False):
        stop = asyncio.Event()
        stop.set()
        await serve(ctx, stop)
        said = capsys.readouterr().out
        assert "web_listening" in said
        assert ("tidings users create EMAIL --role admin" in said) is expected
        assert (await tidings("users", "create", "a@example.com", "--role", "admin")).code == (
            0 if expected else 2
        )
