"""Sources: made once, shown without their secret, rotated with an overlap, and never able to widen."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.intake import sources
from dispatcher.intake.defaults import Defaults
from dispatcher.intake.model import Kind
from dispatcher.seal import BrokenSealError, seal, unseal
from dispatcher.web.intake.models import SourcePatch
from dispatcher.web.scopes import Scope
from tests.drafts.desk import until_waiting
from tests.flow.story import MovableClock, eventually
from tests.intake.payloads import of_every_kind, pagerduty, statuspage
from tests.intake.senders import Sender, source
from tests.web.client import Answer, Api, key_with

pytestmark = pytest.mark.usefixtures("people")


async def everything_stored(ctx: Context) -> str:
    """All rows of all tables, as text."""
    tables = await ctx.pool.fetch("select tablename from pg_tables where schemaname = 'public'")
    rows = [
        await ctx.pool.fetch(f"select t::text as row from {table['tablename']} t")
        for table in tables
    ]
    return "\n".join(row["row"] for found in rows for row in found)


async def test_a_secret_is_shown_once_and_never_stored_as_it_is(api: Api, ctx: Context) -> None:
    secrets: list[str] = []
    shown: Any = None
    for kind in Kind:
        made = await source(api, kind, mode="auto")
        rotated = await api.call("POST", f"/v1/sources/{made.id}/rotate", {})
        secrets += [made.secret, rotated.json["secret"]]
        shown = (await api.get(f"/v1/sources/{made.id}")).json
        assert shown["url"] == f"{api.base}/v1/intake/{made.id}"
        assert (shown["mode"], shown["severity"]) == ("auto", "P2")
    listed = await api.get("/v1/sources")
    assert len(listed.json["data"]) == len(Kind)
    assert shown == listed.json["data"][-1]
    stored = await everything_stored(ctx)
    assert "statuspage-1" in stored
    for text in secrets:
        assert text not in listed.body.decode() + stored
        assert text.encode().hex() not in stored


async def test_a_secret_is_rotated_without_losing_an_event(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    first = await source(api, Kind.PAGERDUTY)
    theirs = "the-secret-that-pagerduty-made"
    answer = await api.call(
        "POST", f"/v1/sources/{first.id}/rotate", {"secret": theirs, "overlap_hours": 2}
    )
    assert answer.json["secret"] == theirs
    second = Sender(api, Kind.PAGERDUTY, first.id, first.path, theirs)
    body = pagerduty()
    assert [(await one.send(body, ctx.now())).status for one in (first, second)] == [202, 202]
    clock.move(timedelta(hours=2, seconds=1))
    assert [(await one.send(body, ctx.now())).status for one in (first, second)] == [403, 202]
    # However often it is rotated: two secrets at a time, and the oldest goes at once.
    third = (await api.call("POST", f"/v1/sources/{first.id}/rotate", {})).json["secret"]
    await api.call("POST", f"/v1/sources/{first.id}/rotate", {})
    assert (await second.send(body, ctx.now())).status == 403
    newer = Sender(api, Kind.PAGERDUTY, first.id, first.path, third)
    assert (await newer.send(body, ctx.now())).status == 202
    assert await ctx.pool.fetchval("select count(*) from source_secret") == 2


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "pagerduti"}, "/kind", "enum"),
    ({"secret": "short"}, "/secret", "invalid"),
    ({"kind": "incidentio", "secret": "whsec_" + "!" * 40}, "/secret", "invalid"),
    ({"component_ids": ["nope"]}, "/component_ids", "unknown"),
    ({"components": {"x": "nope"}}, "/components", "unknown"),
    ({"audience": {"segments": ["vip"]}}, "/audience/segments", "unknown"),
    ({"audience": {"account_ids": ["ghost"]}}, "/audience", "unknown"),
    ({"visibility": "accounts"}, "/audience/account_ids", "missing"),
    ({"severities": {"bad": "P9"}}, "/severities/bad", "literal_error"),
    ({"next_update_within": "soon"}, "/next_update_within", "string_pattern_mismatch"),
    ({"prepared": {"titel": "x"}}, "/prepared/titel", "extra_forbidden"),
    ({"colour": "red"}, "/colour", "extra_forbidden"),
]


async def test_a_wrong_field_of_a_source_is_named(api: Api, ctx: Context) -> None:
    for more, pointer, code in WRONG:
        body = {"kind": "pagerduty", "name": "pd", **more}
        answer = await api.call("POST", "/v1/sources", body)
        assert (answer.status, answer.kind) == (422, "invalid-request"), more
        assert (pointer, code) in [(e["pointer"], e["code"]) for e in answer.json["errors"]]
    assert not await ctx.pool.fetchval("select count(*) from source")


async def test_a_name_can_be_given_once_and_is_free_again_when_the_source_is_gone(
    api: Api, ctx: Context
) -> None:
    made = await source(api, Kind.PAGERDUTY, name="ops")
    again = await api.call("POST", "/v1/sources", {"kind": "opsgenie", "name": "ops"})
    assert (again.status, again.kind) == (409, "source-exists")
    await made.send(pagerduty(), ctx.now())
    assert (await api.delete(f"/v1/sources/{made.id}")).json == {"result": "removed"}
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
        raw = b"{}" if method in {"PATCH", "POST"} else None
        said = {"Content-Type": "application/json", "If-Match": "*"}
        gone = await api.call(method, f"/v1/sources/{made.id}{path}", raw=raw, headers=said)
        assert gone.status == 404
    assert (await made.send(pagerduty(), ctx.now())).status == 404
    assert (await source(api, Kind.OPSGENIE, name="ops")).id != made.id
    assert await ctx.pool.fetchval("select count(*) from incident") == 1


async def test_what_a_patch_leaves_out_stays_and_null_brings_the_default_back(api: Api) -> None:
    made = await source(
        api, Kind.PAGERDUTY, mode="auto", severity="P1", components={"a": "checkout"}
    )
    path = f"/v1/sources/{made.id}"
    changed = await api.patch(path, {"severity": "P3"})
    assert [changed.json[name] for name in ("mode", "severity")] == ["auto", "P3"]
    back = await api.patch(path, {"severity": None, "mode": None})
    assert [back.json[name] for name in ("mode", "severity")] == ["draft", "P2"]
    assert back.json["components"] == {"a": "checkout"}
    assert (await api.patch(path, {"kind": "opsgenie"})).status == 422


WAITS_SQL = """
select exists (select from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock')
"""


async def test_a_source_is_changed_only_by_who_has_seen_what_was_decided(
    api: Api, ctx: Context
) -> None:
    made = await source(api, Kind.PAGERDUTY)
    path = f"/v1/sources/{made.id}"
    first = (await api.get(path)).headers["ETag"]
    # That it spoke nobody decided, and it speaks all the time.
    await made.send(pagerduty(), ctx.now())
    assert (await api.get(path)).json["last_event_at"]
    changed = await api.patch(path, {"severity": "P1"}, seen=first)
    assert changed.headers["ETag"] == (await api.get(path)).headers["ETag"] != first
    late = await api.patch(path, {"severity": "P3"}, seen=first)
    assert (late.status, late.kind) == (412, "changed-meanwhile")
    assert late.headers["ETag"] == changed.headers["ETag"]
    assert (await api.delete(path, seen=first)).status == 412
    blind = await api.call("PATCH", path, {"severity": "P3"})
    assert (blind.status, blind.kind) == (428, "if-match-missing")
    assert (await api.call("DELETE", path)).status == 428
    assert (await api.get(path)).json["severity"] == "P1"
    # Somebody else is just about to change it: whoever comes second waits, and then sees it.
    number = ctx.signer.read_public_id("src", made.id)
    async with ctx.pool.acquire() as conn, conn.transaction():
        await conn.execute("update source set disabled_at = now() where id = $1", number)
        second = asyncio.create_task(
            api.patch(path, {"severity": "P2"}, seen=changed.headers["ETag"])
        )
        await eventually(partial(ctx.pool.fetchval, WAITS_SQL), what="to wait for a lock")
    assert (await second).status == 412


def test_whatever_a_source_can_be_made_with_can_be_changed() -> None:
    assert set(SourcePatch.model_fields) == {*Defaults.model_fields, "disabled"}


ADMINISTRATION = [
    ("GET", "/v1/sources"),
    ("POST", "/v1/sources"),
    ("GET", "/v1/sources/src_x"),
    ("PATCH", "/v1/sources/src_x"),
    ("DELETE", "/v1/sources/src_x"),
    ("POST", "/v1/sources/src_x/rotate"),
    ("GET", "/v1/sources/src_x/events"),
    ("POST", "/v1/sources/src_x/events/evt_x/replay"),
]


async def test_sources_are_for_administrators(anonymous: Api, ctx: Context) -> None:
    others = [scope for scope in Scope if scope is not Scope.ADMIN]
    other = anonymous.bearing(await key_with(ctx, *others))
    for method, path in ADMINISTRATION:
        assert (await anonymous.call(method, path)).status == 401
        answer = await other.call(method, path)
        assert (answer.status, answer.kind) == (403, "missing-scope"), path


async def test_an_audience_that_is_no_more_refuses_the_event_rather_than_telling_everybody(
    api: Api, ctx: Context
) -> None:
    chosen = {"audience": {"account_ids": ["big"]}, "mode": "auto"}
    sender = await source(api, Kind.PAGERDUTY, **chosen)
    await ctx.pool.execute("update account set removed_at = now() where external_id = 'big'")
    answer = await sender.send(pagerduty(), ctx.now())
    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert not await ctx.pool.fetchval("select count(*) from incident")
    await ctx.pool.execute("update account set removed_at = null")
    assert (await sender.send(pagerduty(), ctx.now())).status == 202


async def test_a_component_that_is_no_more_is_left_out_and_the_event_is_taken(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY, components={"PSVC001": "checkout"})
    await ctx.pool.execute("update component set removed_at = now()")
    answer = await sender.send(pagerduty(), ctx.now())
    assert "component_ids" in answer.json["missing"]


async def test_another_secret_of_the_installation_is_said_and_not_called_a_forgery(
    api: Api, ctx: Context, web_settings: Settings, clock: MovableClock
) -> None:
    sender = await source(api, Kind.PAGERDUTY)
    number = ctx.signer.read_public_id("src", sender.id)
    other = web_settings.model_copy(update={"secret": SecretStr("quite another secret, as long")})
    async with running(other, clock) as elsewhere, elsewhere.pool.acquire() as conn:
        found = await sources.find(conn, number)
        assert found is not None
        with pytest.raises(BrokenSealError):
            await sources.keys_of(conn, elsewhere, found, now=clock.now())
    await ctx.pool.execute("update source_secret set sealed = '\\x0102'::bytea")
    answer = await sender.send(of_every_kind()[Kind.PAGERDUTY][0], ctx.now())
    assert (answer.status, answer.kind) == (503, "source-unreadable")


def test_what_is_sealed_for_one_row_opens_in_no_other() -> None:
    key = bytes(32)
    sealed = seal(key, b"secret", about="source 1")
    assert b"secret" not in sealed
    assert sealed != seal(key, b"secret", about="source 1")
    assert unseal(key, sealed, about="source 1") == b"secret"
    for wrong in (sealed[:-1], sealed[:5], b"", sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(BrokenSealError):
            unseal(key, wrong, about="source 1")
    with pytest.raises(BrokenSealError):
        unseal(key, sealed, about="source 2")


async def test_a_source_that_is_removed_while_it_speaks_is_gone_and_that_is_no_fault(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY)
    bodies = [pagerduty(), {}]
    async with ctx.pool.acquire() as conn, conn.transaction():
        await conn.execute("delete from source")
        sending = [asyncio.create_task(sender.send(body, ctx.now())) for body in bodies]
        forged = {"X-PagerDuty-Signature": "v1=00"}
        sending.append(asyncio.create_task(sender.send(pagerduty(), ctx.now(), **forged)))
        await until_waiting(ctx, 3)
    assert [(await task).status for task in sending] == [404, 404, 404]
    assert await ctx.pool.fetchval("select count(*) from incident") == 0


async def test_what_an_operator_changes_while_a_source_speaks_holds_for_what_it_says(
    api: Api, ctx: Context
) -> None:
    """Who has seen that a source is disabled, or set to drafts, knows that nothing more goes out."""
    chosen = {"mode": "auto", "component_ids": ["checkout"], "next_update_within": "30min"}
    sender = await source(api, Kind.STATUSPAGE, **chosen)
    answers: list[Answer] = []
    for change in ("disabled_at = now()", "defaults = jsonb_set(defaults, '{mode}', '\"draft\"')"):
        async with ctx.pool.acquire() as conn, conn.transaction():
            await conn.execute(f"update source set {change}")
            sending = asyncio.create_task(sender.send(statuspage(), ctx.now()))
            await until_waiting(ctx, 1)
        answers.append(await sending)
        await ctx.pool.execute("update source set disabled_at = null")
    assert (answers[0].status, answers[0].kind) == (403, "source-disabled")
    assert (answers[1].status, answers[1].json["became"]) == (202, "draft")
    events = (await api.get(f"/v1/sources/{sender.id}/events")).json["data"]
    assert [event["outcome"] for event in events] == ["taken", "disabled"]
