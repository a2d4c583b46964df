"""`POST /v1/updates`: accepted once, answered after the commit, refused with the field's name."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

from dispatcher.context import Context
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock, contact, plan_out, post, seed, update
from tests.web.client import Answer, Api, key_with


def body_of(ctx: Context, **more: Any) -> dict[str, Any]:
    """A good body as plain JSON; anything may be overridden."""
    body: dict[str, Any] = update(ctx).model_dump(mode="json", exclude_unset=True)
    for key, value in more.items():
        body[key] = {**body[key], **value} if isinstance(body.get(key), dict) else value
    return body


@pytest.fixture
async def audience(ctx: Context) -> None:
    await seed(ctx, [contact(n, "small") for n in range(3)])


async def counted(ctx: Context, table: str) -> int:
    found: int = await ctx.pool.fetchval(f"select count(*) from {table}")
    return found


@pytest.mark.usefixtures("audience")
async def test_an_update_is_accepted_and_its_dispatch_can_be_followed(
    api: Api, ctx: Context
) -> None:
    answer = await api.update(body_of(ctx))
    assert answer.status == 202
    view = answer.json
    assert (view["state"], view["missing"]) == ("dispatching", [])
    assert answer.headers["Location"] == f"/v1/dispatches/{view['dispatch_id']}"
    dispatch = await api.get(answer.headers["Location"])
    assert dispatch.json["state"] == "planning"
    incident = await api.get(view["links"]["incident"])
    assert incident.json["title"] == "Some customers cannot check out"
    assert incident.json["component_ids"] == ["checkout"]
    fetched = await api.get(view["links"]["update"])
    assert fetched.json["facts"]["impact"] == "About one in five card payments fails at checkout."
    assert await ctx.pool.fetchval("select count(*) from pgqueuer") == 1
    (row,) = await ctx.pool.fetch("select actor, action, object from audit where action ~ 'update'")
    assert row["actor"].startswith("key:")
    assert (row["action"], row["object"]) == ("update.post", view["update_id"])


@pytest.mark.usefixtures("audience")
async def test_the_same_key_and_body_is_answered_again_without_doing_it_again(
    api: Api, ctx: Context
) -> None:
    body = body_of(ctx)
    first = await api.update(body, "retry-1")
    again = await api.update(dict(reversed(body.items())), '"retry-1"')
    assert (again.status, again.json) == (first.status, first.json)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert await counted(ctx, "incident_update") == 1


@pytest.mark.usefixtures("audience")
async def test_a_key_used_for_another_body_is_refused(api: Api, ctx: Context) -> None:
    await api.update(body_of(ctx))
    other = await api.update(body_of(ctx, note="changed"))
    assert (other.status, other.kind) == (422, "idempotency-key-reused")
    assert await counted(ctx, "incident_update") == 1


@pytest.mark.usefixtures("audience")
async def test_a_key_is_free_again_after_72_hours(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    await api.update(body_of(ctx))
    clock.move(timedelta(hours=72, seconds=1))
    fresh = await api.update(body_of(ctx, note="changed"))
    assert fresh.status == 202


@pytest.mark.usefixtures("audience")
async def test_keys_of_different_callers_do_not_meet(api: Api, ctx: Context) -> None:
    other = api.bearing(await key_with(ctx, Scope.UPDATES_WRITE))
    assert (await api.update(body_of(ctx))).status == 202
    assert (await other.update(body_of(ctx, note="another"))).status == 202


@pytest.mark.usefixtures("audience")
async def test_a_key_whose_first_request_still_runs_is_refused_for_now(
    api: Api, ctx: Context
) -> None:
    async with ctx.pool.acquire() as conn, conn.transaction():
        # Whoever accepts must wait for the incident's row, and keeps its key locked meanwhile.
        await conn.execute(
            "insert into incident (source, external_id, visibility, severity, status, started_at)"
            " values ('monitoring', 'INC-42', 'customers', 1, 'investigating', now())"
        )
        running = asyncio.create_task(api.update(body_of(ctx)))
        second = await _until_refused(api, ctx)
        assert (second.kind, second.headers["Retry-After"]) == ("idempotency-key-in-use", "1")
    assert (await running).status == 202


async def _until_refused(api: Api, ctx: Context) -> Answer:
    for _ in range(100):
        locked = await ctx.pool.fetchval(
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
            " where l.locktype = 'advisory' and d.datname = current_database()"
        )
        if locked:
            answer = await api.update(body_of(ctx))
            assert answer.status == 409
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("the first request never took its key")


@pytest.mark.parametrize("header", ["", "two words", "x" * 201, '""', "umlaut-\u00e4"])
async def test_a_missing_or_malformed_idempotency_key_is_refused(
    api: Api, ctx: Context, header: str
) -> None:
    answer = await api.update(body_of(ctx), header)
    assert (answer.status, answer.kind) == (400, "idempotency-key-missing")


async def test_without_the_idempotency_header_nothing_is_accepted(api: Api, ctx: Context) -> None:
    answer = await api.call("POST", "/v1/updates", body_of(ctx))
    assert (answer.status, answer.kind) == (400, "idempotency-key-missing")


@pytest.mark.usefixtures("audience")
async def test_an_update_without_the_needed_facts_is_a_draft_that_a_person_can_release(
    api: Api, ctx: Context
) -> None:
    body = body_of(ctx, mode="draft")
    draft = (await api.update(body)).json
    assert (draft["state"], draft["dispatch_id"]) == ("draft", None)
    released = await api.call(
        "POST", f"{draft['links']['draft']}/submit", headers={"If-Match": "*"}
    )
    assert released.status == 202
    assert released.json["dispatch_id"]
    again = await api.call("POST", f"{draft['links']['draft']}/submit", headers={"If-Match": "*"})
    assert (again.status, again.json) == (200, released.json)


@pytest.mark.usefixtures("audience")
async def test_missing_facts_make_a_draft_and_are_named(api: Api, ctx: Context) -> None:
    body = body_of(ctx)
    del body["facts"]["impact"], body["facts"]["next_update_by"]
    draft = (await api.update(body)).json
    assert draft["missing"] == ["impact", "next_update_by"]
    refused = await api.call("POST", f"{draft['links']['draft']}/submit", headers={"If-Match": "*"})
    assert (refused.status, refused.kind) == (422, "incomplete-draft")
    assert [item["pointer"] for item in refused.json["errors"]] == [
        "/facts/impact",
        "/facts/next_update_by",
    ]


@pytest.mark.usefixtures("audience")
async def test_a_dry_run_shows_words_and_numbers_and_stores_nothing(api: Api, ctx: Context) -> None:
    answer = await api.update(body_of(ctx, mode="dry_run"))
    assert answer.status == 200
    view = answer.json
    assert view["kind"] == "acknowledgement"
    assert view["lint"] == []
    told = {
        (row["segment"], row["channel"], row["reason"]): row["people"] for row in view["audience"]
    }
    assert told[("smb", "email", None)] == 3
    mail = next(
        row for row in view["renderings"] if (row["segment"], row["channel"]) == ("smb", "email")
    )
    assert "One in five" in mail["parts"]["text"] or "one in five" in mail["parts"]["text"]
    assert "html" not in mail["parts"]
    for table in (
        "incident",
        "incident_update",
        "dispatch",
        "idempotency",
        "pgqueuer",
        "rendering",
    ):
        assert await counted(ctx, table) == 0, table


@pytest.mark.usefixtures("audience")
async def test_a_dry_run_of_too_few_facts_says_what_is_missing(api: Api, ctx: Context) -> None:
    body = body_of(ctx, mode="dry_run")
    del body["facts"]["impact"]
    view = (await api.update(body)).json
    assert (view["missing"], view["renderings"]) == (["impact"], [])


@pytest.mark.usefixtures("audience")
async def test_renderings_can_be_read_as_they_were_stored(api: Api, ctx: Context) -> None:
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    public = ctx.signer.public_id("upd", accepted.update_id)
    view = (await api.get(f"/v1/updates/{public}")).json
    assert view["state"] == "planned"
    channels = {row["channel"] for row in view["renderings"] if row["segment"] == "smb"}
    assert channels == {"email", "sms", "banner"}
    assert not any("{%" in text for row in view["renderings"] for text in row["parts"].values())


@pytest.mark.usefixtures("audience")
async def test_a_commit_and_its_answer_survive_a_retry_of_the_client(
    api: Api, ctx: Context
) -> None:
    answers = await asyncio.gather(*(api.update(body_of(ctx), "same") for _ in range(8)))
    assert {answer.status for answer in answers} <= {202, 409}
    assert len({answer.body for answer in answers if answer.status == 202}) == 1
    assert await counted(ctx, "incident_update") == 1
    stored = await ctx.pool.fetchval("select response from idempotency")
    assert stored == next(orjson.loads(a.body) for a in answers if a.status == 202)
