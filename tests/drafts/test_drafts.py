"""Drafts: seen, changed, sent and discarded, each on the version that somebody looked at."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.web.scopes import Scope
from tests.drafts.desk import Desk, body
from tests.flow.story import MovableClock, post, update
from tests.web.client import Api, key_with

pytestmark = pytest.mark.usefixtures("people")


async def test_the_list_says_what_each_draft_proposes_and_lacks_and_whether_it_is_overtaken(
    api: Api, ctx: Context
) -> None:
    alone = {"external_id": "INC-7"}
    await Desk.with_draft(
        api, body(ctx, source="other", incident=alone, facts={"impact": None}), "k0"
    )
    old = await Desk.with_draft(api, body(ctx))
    sent = await post(ctx, update(ctx))
    await Desk.with_draft(api, body(ctx, status="monitoring"), "k2")
    await Desk.with_draft(api, body(ctx, status="resolved"), "k3")
    drafts = (await api.get("/v1/drafts")).json["data"]
    assert [(row["proposes"], row["missing"], row["overtaken"]) for row in drafts] == [
        ("resolution", [], False),
        ("update", [], False),
        ("opening", [], True),
        ("opening", ["impact"], False),
    ]
    assert drafts[0]["created_by"].startswith("key:")
    assert drafts[2]["id"] == old.path.rpartition("/")[2]
    # Page by page it is the same.
    first = (await api.get("/v1/drafts?limit=3")).json
    rest = (await api.get(f"/v1/drafts?limit=3&cursor={first['next_cursor']}")).json
    assert [*first["data"], *rest["data"]] == drafts
    incident = ctx.signer.public_id("inc", sent.incident_id)
    assert (await api.get(f"/v1/drafts?incident={incident}")).json["data"] == drafts[:3]
    assert (await api.get("/v1/drafts?source=other")).json["data"] == drafts[3:]


async def test_an_edit_replaces_what_is_given_removes_what_is_null_and_keeps_the_rest(
    api: Api, ctx: Context
) -> None:
    desk = await Desk.with_draft(api, body(ctx, note="first"))
    before = await desk.show()
    answer = await desk.edit(
        {
            "facts": {"impact": "Nobody can pay.", "scope": None},
            "severity": "P0",
            "status": "identified",
            "note": "second",
            "internal": {"cause": "a full disk"},
            "audience": {"account_ids": ["big"]},
        }
    )
    assert answer.status == 200, answer.body
    draft = await desk.show()
    assert answer.json == draft
    assert draft["facts"] == before["facts"] | {"impact": "Nobody can pay.", "scope": None}
    assert draft["audience"] == {
        "segments": [],
        "account_ids": ["big"],
        "regions": [],
        "exclude": [],
    }
    assert draft["internal"]["cause"] == "a full disk"
    assert (draft["severity"], draft["status"], draft["note"]) == ("P0", "identified", "second")
    assert draft["component_ids"] == ["checkout"]
    (revision,) = await desk.revisions()
    assert revision["fields"] == [
        "facts.impact",
        "facts.scope",
        "internal",
        "status",
        "severity",
        "audience",
        "note",
    ]
    # Nothing anybody wrote is lost.
    assert revision["former"]["facts"] == before["facts"]
    assert (revision["former"]["severity"], revision["former"]["note"]) == ("P1", "first")
    assert revision["former"]["audience"] == before["audience"]
    (audit,) = await ctx.pool.fetch(
        "select actor, detail from audit where action = 'draft.edit' and object = $1", draft["id"]
    )
    assert audit["detail"] == {"fields": revision["fields"]}
    assert audit["actor"] == revision["made_by"] == draft["changed_by"]
    # What changes nothing is no change.
    assert (await desk.edit({"note": "second", "facts": {"scope": None}})).json == draft
    assert len(await desk.revisions()) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"facts": {"next_update_by": "2020-01-01T00:00:00Z"}}, "/facts/next_update_by"),
    ({"facts": {"imapct": "x"}}, "/facts/imapct"),
    ({"component_ids": ["checkout", "cart"]}, "/component_ids/1"),
    ({"audience": {"account_ids": ["big", "huge"]}}, "/audience/account_ids/1"),
    ({"audience": {"segments": ["vip"]}}, "/audience/segments/0"),
    ({"visibility": "accounts"}, "/audience/account_ids"),
    ({"status": None}, "/status"),
    ({"lead": "Ada"}, "/lead"),
]


async def test_a_wrong_edit_is_refused_with_the_place_and_changes_nothing(
    api: Api, ctx: Context
) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    before = await desk.show()
    for patch, pointer in WRONG:
        refused = await desk.edit(patch)
        assert refused.status == 422
        assert [item["pointer"] for item in refused.json["errors"]] == [pointer]
    assert await desk.show() == before
    assert await desk.revisions() == []


async def test_of_two_people_who_edit_the_same_version_one_is_told_to_look_again(
    api: Api, ctx: Context
) -> None:
    one = await Desk.with_draft(api, body(ctx))
    others = [Desk(api, one.path, one.seen) for _ in range(4)]
    answers = await asyncio.gather(
        *(desk.edit({"note": f"by {n}"}) for n, desk in enumerate(others))
    )
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412]
    late = next(answer for answer in answers if answer.status == 412)
    assert late.kind == "changed-meanwhile"
    assert (await api.get(one.path)).headers["ETag"] == late.headers["ETag"]
    assert len(await one.revisions()) == 1
    blind = await Desk(api, one.path).edit({"note": "without looking"})
    assert (blind.status, blind.kind) == (428, "if-match-missing")


async def test_what_was_seen_is_what_leaves_and_a_lost_answer_is_given_again(
    api: Api, ctx: Context
) -> None:
    desk, late = await Desk.with_draft(api, body(ctx)), Desk(api, "")
    late.path, late.seen = desk.path, desk.seen
    assert (await desk.edit({"facts": {"title": "Nobody can pay"}})).status == 200
    assert (await late.submit()).status == 412
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 0
    sent = await desk.submit()
    assert (sent.status, sent.json["state"]) == (202, "dispatching")
    assert sent.headers["Location"] == f"/v1/dispatches/{sent.json['dispatch_id']}"
    again = await desk.submit()
    assert (again.status, again.json) == (200, sent.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    # Who had seen another version is not told that theirs has left.
    for answer in (await late.submit(), await late.edit({"note": "x"}), await late.discard()):
        assert (answer.status, answer.kind) == (409, "not-a-draft")
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 1
    assert (await api.get(desk.path)).status == 404
    assert (await api.get("/v1/drafts")).json["data"] == []
    incident = (await api.get(sent.json["links"]["incident"])).json
    assert incident["title"] == "Nobody can pay"
    assert [row["action"] for row in await desk.revisions()] == ["submitted", "edited"]


async def test_a_draft_becomes_what_it_is_to_who_has_read_what_left_meanwhile(
    api: Api, ctx: Context
) -> None:
    first = await Desk.with_draft(api, body(ctx))
    second = await Desk.with_draft(api, body(ctx, note="and again"), "k2")
    assert (await second.show())["kind"] == "acknowledgement"
    assert (await first.submit()).status == 202
    answer = await (await second.look()).submit()
    assert answer.status == 202
    assert (await api.get(answer.json["links"]["update"])).json["kind"] == "update"


async def test_what_cannot_leave_says_why_and_stays_a_draft(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    desk = await Desk.with_draft(api, body(ctx, facts={"impact": None}))
    refused = await desk.submit()
    assert (refused.status, refused.kind) == (422, "incomplete-draft")
    await desk.edit({"facts": {"impact": "Nobody can pay."}, "component_ids": []})
    assert (await desk.submit()).json["errors"][0]["pointer"] == "/component_ids"
    await desk.edit({"component_ids": ["checkout"]})
    clock.move(timedelta(hours=2))
    assert (await desk.submit()).json["errors"][0]["pointer"] == "/facts/next_update_by"
    # Something else may be changed although the promise has passed meanwhile.
    assert (await desk.edit({"note": "still true"})).status == 200
    await post(ctx, update(ctx))
    await desk.look()
    for answer in (await desk.submit(), await desk.edit({"note": "x"})):
        assert (answer.status, answer.kind) == (409, "overtaken")
    assert (await desk.discard()).status == 200


async def test_words_that_lint_does_not_let_leave_are_named_once_however_many_wordings_have_them(
    api: Api, ctx: Context
) -> None:
    desk = await Desk.with_draft(api, body(ctx, facts={"impact": "Payments fail. TODO: how many?"}))
    refused = await desk.submit()
    assert (refused.status, refused.kind) == (422, "cannot-be-worded")
    assert refused.body.count(b"TODO") == 1
    assert (await desk.show())["facts"]["impact"].endswith("how many?")


async def test_a_discarded_draft_never_leaves_and_says_who_and_why(api: Api, ctx: Context) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    assert (await Desk(api, desk.path).discard()).status == 428
    gone = await desk.discard("it was a test of the alarm")
    assert (gone.status, gone.json["state_detail"]) == (200, "it was a test of the alarm")
    assert (await desk.discard()).json == gone.json
    assert (await desk.submit()).kind == "not-a-draft"
    view = (await api.get(desk.path.replace("drafts", "updates"))).json
    assert (view["state"], view["state_detail"]) == ("cancelled", "it was a test of the alarm")
    (revision,) = await desk.revisions()
    assert (revision["action"], revision["made_by"]) == ("discarded", view["created_by"])
    assert await ctx.pool.fetchval("select count(*) from audit where action = 'draft.discard'") == 1
    # The page of the incident never knew.
    assert (await api.get(f"/v1/drafts?incident={view['incident_id']}")).json["data"] == []


async def test_who_may_write_drafts_may_not_send_them(api: Api, ctx: Context) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    author = api.bearing(await key_with(ctx, Scope.UPDATES_WRITE, Scope.INCIDENTS_READ))
    theirs = await Desk(author, desk.path).look()
    assert (await theirs.edit({"note": "mine"})).status == 200
    assert (await theirs.submit()).json["detail"].startswith("This needs the scope approvals:write")
    reader = api.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    looking = await Desk(reader, desk.path).look()
    for answer in (await looking.edit({"note": "x"}), await looking.discard()):
        assert (answer.status, answer.kind) == (403, "missing-scope")
