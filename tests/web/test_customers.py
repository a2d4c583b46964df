"""Accounts, contacts, components and suppressions: one path in, masked out, gone when erased."""

from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.web.scopes import Scope
from tests.web.client import Api, key_with

ACCOUNT = {
    "name": "Acme",
    "attributes": {"tier": "enterprise"},
    "manager_email": "boss@example.com",
}
CONTACT = {
    "account": "acme",
    "name": "Anna Archer",
    "email": "anna@example.com",
    "phone": "+12125550123",
    "sms_consent": {"granted": True, "source": "contract"},
    "app_user": "anna-1",
}


async def put(api: Api, path: str, body: dict[str, Any]) -> int:
    return (await api.call("PUT", path, body)).status


@pytest.fixture
async def stored(api: Api) -> None:
    assert await put(api, "/v1/components/checkout", {"name": "checkout-api"}) == 201
    usage = {"usage": [{"component": "checkout", "region": "eu"}]}
    assert await put(api, "/v1/accounts/acme", {**ACCOUNT, **usage}) == 201
    assert await put(api, "/v1/contacts/c1", CONTACT) == 201


@pytest.mark.usefixtures("stored")
async def test_what_was_put_can_be_read(api: Api) -> None:
    account = (await api.get("/v1/accounts/acme")).json
    assert (account["segment"], account["contacts"]) == ("enterprise", 1)
    assert account["usage"] == [{"component": "checkout", "region": "eu"}]
    contact = (await api.get("/v1/contacts/c1")).json
    assert contact["name"] == "Anna Archer"
    assert {row["channel"]: row["address"] for row in contact["reach"]} == {
        "email": "anna@example.com",
        "sms": "+12125550123",
        "banner": "anna-1",
    }
    component = (await api.get("/v1/components/checkout")).json
    assert (component["public_name"], component["accounts"]) == ("checkout-api", 1)


@pytest.mark.usefixtures("stored")
async def test_putting_again_says_whether_anything_changed(api: Api) -> None:
    same = await api.call("PUT", "/v1/contacts/c1", {"account": "acme", "name": "Anna Archer"})
    assert (same.status, same.json) == (200, {"result": "unchanged"})
    new = await api.call("PUT", "/v1/contacts/c1", {"account": "acme", "name": "Anna Bow"})
    assert new.json == {"result": "updated"}
    assert len((await api.get("/v1/contacts/c1")).json["reach"]) == 3


@pytest.mark.usefixtures("stored")
async def test_names_and_addresses_need_their_own_scope(anonymous: Api, ctx: Context) -> None:
    writer = anonymous.bearing(await key_with(ctx, Scope.SEGMENTS_WRITE))
    contact = await writer.get("/v1/contacts/c1")
    assert contact.json["name"] is None
    assert b"anna@" not in contact.body
    assert b"0123" not in contact.body
    account = await writer.get("/v1/accounts/acme")
    assert b"boss@" not in account.body


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**CONTACT, "email": "not an address"}, "/email"),
        ({**CONTACT, "phone": "12"}, "/phone"),
        ({**CONTACT, "account": "nobody"}, "/account"),
        ({**CONTACT, "shoe_size": 44}, "/shoe_size"),
        ({**CONTACT, "external_id": "c2"}, "/external_id"),
        ({"account": "acme"}, "/name"),
    ],
    ids=["e-mail", "phone", "account", "unknown field", "other id", "no name"],
)
@pytest.mark.usefixtures("stored")
async def test_a_wrong_field_is_named_and_nothing_changes(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    before = (await api.get("/v1/contacts/c1")).json
    answer = await api.call("PUT", "/v1/contacts/c1", body)
    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert pointer in {item["pointer"] for item in answer.json["errors"]}
    assert (await api.get("/v1/contacts/c1")).json == before


@pytest.mark.usefixtures("stored")
async def test_erasing_a_person_leaves_no_trace_of_them(api: Api, ctx: Context) -> None:
    answer = await api.call("DELETE", "/v1/contacts/c1")
    assert (answer.status, answer.json) == (200, {"result": "erased"})
    assert (await api.get("/v1/contacts/c1")).status == 404
    assert (await api.call("DELETE", "/v1/contacts/c1")).status == 404
    for table in ("contact", "contact_version", "address", "audit"):
        for row in await ctx.pool.fetch(f"select * from {table}"):
            text = str(dict(row))
            assert "Anna" not in text, table
            assert "anna" not in text, table
            assert "5550123" not in text, table


@pytest.mark.usefixtures("stored")
async def test_every_write_is_noted_without_personal_data(api: Api, ctx: Context) -> None:
    await api.call("POST", "/v1/suppressions", {"channel": "email", "address": "x@example.com"})
    await api.call("DELETE", "/v1/suppressions", {"channel": "email", "address": "x@example.com"})
    await api.call("DELETE", "/v1/contacts/c1")
    rows = await ctx.pool.fetch("select * from audit order by id")
    assert [row["action"] for row in rows] == [
        "key.create",
        "component.put",
        "account.put",
        "contact.put",
        "suppression.add",
        "suppression.remove",
        "contact.erase",
    ]
    assert "@" not in str([dict(row) for row in rows])
    assert all(row["actor"].startswith("key:") for row in rows[1:])


async def test_an_address_is_suppressed_until_it_is_allowed_again(api: Api) -> None:
    body = {"channel": "email", "address": "Anna@Example.com"}
    assert (await api.call("POST", "/v1/suppressions", body)).status == 201
    again = await api.call("POST", "/v1/suppressions", {**body, "address": "Anna@example.com"})
    assert (again.status, again.json) == (200, {"result": "unchanged"})
    (row,) = (await api.get("/v1/suppressions")).json["data"]
    assert (row["channel"], row["reason"], row["address"]) == ("email", "operator", None)
    assert (await api.call("DELETE", "/v1/suppressions", body)).json == {"result": "removed"}
    assert (await api.call("DELETE", "/v1/suppressions", body)).status == 404
    assert (await api.get("/v1/suppressions")).json["data"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"channel": "email", "address": "nobody.secret"}, "/address"),
        ({"channel": "sms", "address": "nobody.secret"}, "/address"),
        ({"channel": "social", "address": "x"}, "/channel"),
        ({"channel": "email"}, "/address"),
    ],
)
async def test_what_is_no_address_cannot_be_suppressed(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    answer = await api.call("POST", "/v1/suppressions", body)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert b"nobody.secret" not in answer.body


async def test_suppressions_can_be_paged_through(api: Api) -> None:
    for number in range(5):
        body = {"channel": "email", "address": f"p{number}@example.com"}
        await api.call("POST", "/v1/suppressions", body)
    page = await api.get("/v1/suppressions?limit=2")
    sizes = [len(page.json["data"])]
    while cursor := page.json["next_cursor"]:
        page = await api.get(f"/v1/suppressions?limit=2&cursor={cursor}")
        sizes.append(len(page.json["data"]))
    assert sizes == [2, 2, 1]
    assert "Link" not in page.headers


async def test_segments_are_listed_with_their_accounts(api: Api) -> None:
    await put(api, "/v1/accounts/acme", ACCOUNT)
    rows = {row["name"]: row for row in (await api.get("/v1/segments")).json["data"]}
    assert (rows["enterprise"]["accounts"], rows["smb"]["accounts"]) == (1, 0)
    assert rows["internal"]["always"]
