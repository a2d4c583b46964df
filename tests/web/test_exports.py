"""A dispatch's accounts page by page, one account in it, and its deliveries as files, over HTTP."""

import asyncio
import csv
import io
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest

from dispatcher.context import Context
from dispatcher.stages.report import roll_up, run_export
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock, contact, plan_out, post, seed, update
from tests.web.client import Api, key_with


@pytest.fixture
async def planned(ctx: Context) -> str:
    """The path of a dispatch to four people of two accounts, one of whom has no phone."""
    await seed(
        ctx,
        [
            *(contact(n, "small") for n in range(3)),
            contact(3, "big", phone="", sms_consent=None),
        ],
    )
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    number = accepted.dispatch_id or 0
    async with ctx.pool.acquire() as conn, conn.transaction():
        await roll_up(conn, number, policy=ctx.policy, now=ctx.now())
    return f"/v1/dispatches/{ctx.signer.public_id('dsp', number)}"


async def made(ctx: Context, location: str) -> None:
    await run_export(ctx, ctx.signer.read_public_id("exp", location.rpartition("/")[2]))


@pytest.fixture
async def reader(anonymous: Api, ctx: Context) -> Api:
    """A caller that may read deliveries and no addresses."""
    return anonymous.bearing(await key_with(ctx, Scope.DELIVERIES_READ))


@pytest.mark.parametrize(
    ("kind", "type_of"),
    [("csv", "text/csv; charset=utf-8"), ("xlsx", "application/vnd.openxmlformats")],
)
async def test_an_export_is_asked_for_made_and_fetched(
    api: Api, ctx: Context, planned: str, kind: str, type_of: str
) -> None:
    asked = await api.call("POST", f"{planned}/exports", {"format": kind})
    location = asked.headers["Location"]
    assert (asked.status, asked.json["state"], asked.json["link"]) == (202, "waiting", None)
    early = await api.get(f"{location}/file")
    assert (early.status, early.kind) == (409, "export-not-ready")
    await made(ctx, location)
    view = (await api.get(location)).json
    assert (view["state"], view["rows"], view["link"]) == ("done", 12, f"{location}/file")
    file = await api.get(view["link"])
    assert len(file.body) == view["bytes"] == int(file.headers["Content-Length"])
    assert file.headers["Content-Type"].startswith(type_of)
    name = planned.rpartition("/")[2]
    assert file.headers["Content-Disposition"] == f'attachment; filename="{name}.{kind}"'
    assert await nothing_after_the_headers(api, view["link"], view["bytes"])
    (row,) = await ctx.pool.fetch("select detail from audit where action = 'export.ask'")
    assert row["detail"] == {"format": kind, "account": None, "addresses": True}


async def nothing_after_the_headers(api: Api, path: str, size: int) -> bool:
    """What HEAD is answered, as it is on the wire: a client would not tell."""
    url = urlsplit(api.base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    key = api.headers["Authorization"]
    asked = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {key}\r\n\r\n"
    writer.write(asked.encode())
    headers, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return f"Content-Length: {size}".encode() in headers and rest == b""


async def test_addresses_in_a_file_are_masked_or_kept_from_who_may_not_read_them(
    api: Api, reader: Api, ctx: Context, planned: str
) -> None:
    masked = await reader.call("POST", f"{planned}/exports", {"format": "csv"})
    whole = await api.call("POST", f"{planned}/exports", {"format": "csv"})
    for asked in (masked, whole):
        await made(ctx, asked.headers["Location"])
    assert b"person1@" not in (await reader.get(f"{masked.headers['Location']}/file")).body
    link = f"{whole.headers['Location']}/file"
    assert b"person1@" in (await api.get(link)).body
    refused = await reader.get(link)
    assert (refused.status, refused.kind) == (403, "missing-scope")


async def test_an_export_of_one_account_holds_nobody_else(
    api: Api, ctx: Context, planned: str
) -> None:
    body = {"format": "csv", "account": "big"}
    location = (await api.call("POST", f"{planned}/exports", body)).headers["Location"]
    await made(ctx, location)
    text = (await api.get(f"{location}/file")).body.decode()
    assert {row["account"] for row in csv.DictReader(io.StringIO(text))} == {"big"}
    assert (await api.get(location)).json["account"] == "big"


async def test_what_cannot_be_exported_is_refused(
    api: Api, ctx: Context, planned: str, clock: MovableClock
) -> None:
    path = f"{planned}/exports"
    nobody = {"format": "csv", "account": "nobody"}
    assert (await api.call("POST", path, nobody)).status == 404
    assert (await api.call("POST", path, {"format": "pdf"})).status == 422
    location = (await api.call("POST", path, {"format": "csv"})).headers["Location"]
    await made(ctx, location)
    clock.move(timedelta(hours=24))
    assert (await api.get(location)).status == 404
    assert (await api.get(f"{location}/file")).status == 404


async def test_a_download_that_expires_on_the_way_is_cut_off(
    api: Api, ctx: Context, planned: str
) -> None:
    asked = await api.call("POST", f"{planned}/exports", {"format": "csv"})
    await made(ctx, asked.headers["Location"])
    await ctx.pool.execute("delete from export_chunk where no = 1")
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.get(f"{asked.headers['Location']}/file")


async def test_accounts_come_worst_first_and_can_be_narrowed(api: Api, planned: str) -> None:
    first = await api.get(f"{planned}/accounts?limit=1")
    assert [row["account"] for row in first.json["data"]] == ["big"]
    following = first.headers["Link"].partition(">")[0].removeprefix(f"<{api.base}")
    second = (await api.get(following)).json
    assert ([row["account"] for row in second["data"]], second["next_cursor"]) == (["small"], None)
    found = (await api.get(f"{planned}/accounts?search=SMALL")).json["data"]
    assert [row["account"] for row in found] == ["small"]
    assert (await api.get(f"{planned}/accounts?standing=told")).json["data"] == []
    assert (await api.get(f"{planned}/accounts?cursor=x")).kind == "invalid-query"
    assert (await api.get(f"{planned}/accounts?standing=x")).kind == "invalid-query"


async def test_one_account_of_a_dispatch_is_masked_without_the_scope(
    api: Api, reader: Api, planned: str
) -> None:
    whole = await api.get(f"{planned}/accounts/small")
    assert b"person1@" in whole.body
    assert len(whole.json["people"]) == 3
    assert b"person1@" not in (await reader.get(f"{planned}/accounts/small")).body
    assert (await api.get(f"{planned}/accounts/nobody")).status == 404
