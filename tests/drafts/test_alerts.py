"""What alerts do to drafts that people are at work on, and what people's decisions are to later alerts."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.db.transactions import RETRIES
from dispatcher.intake.model import Kind
from tests.drafts.desk import Desk, until_waiting
from tests.flow.story import MovableClock
from tests.intake.payloads import alert, alertmanager, pagerduty
from tests.intake.senders import Sender, source
from tests.web.client import Answer, Api

pytestmark = pytest.mark.usefixtures("people")


async def group(api: Api, **more: Any) -> Sender:
    return await source(api, Kind.ALERTMANAGER, component_ids=["checkout"], **more)


async def at_desk(api: Api, answer: Answer) -> Desk:
    assert answer.status == 202, answer.body
    return await Desk(api, answer.json["links"]["draft"]).look()


async def written(ctx: Context, desk: Desk) -> Desk:
    """Somebody writes what customers are to read."""
    facts = {
        "title": "Payments are slow",
        "impact": "Some payments take a minute.",
        "next_update_by": (ctx.now() + timedelta(hours=3)).isoformat(),
    }
    answer = await desk.edit({"facts": facts})
    assert answer.status == 200, answer.body
    return desk


def became(answer: Answer) -> str:
    return str(answer.json.get("became") or answer.json["ignored"])


async def drafts(api: Api) -> list[tuple[str, str]]:
    rows = (await api.get("/v1/drafts")).json["data"]
    return [(row["id"], row["proposes"]) for row in rows]


async def test_two_alerts_of_a_group_that_come_at_once_are_one_incident_with_one_draft(
    api: Api, ctx: Context
) -> None:
    sender = await group(api)
    names = [f"a{number}" for number in range(6)]
    answers = await asyncio.gather(
        *(sender.send(alertmanager(alert(name)), ctx.now()) for name in names)
    )
    assert sorted(became(answer) for answer in answers) == ["draft"] + ["extended"] * 5
    assert len({answer.json["incident_id"] for answer in answers}) == 1
    ((only, proposes),) = await drafts(api)
    assert {answer.json["update_id"] for answer in answers} == {only}
    assert proposes == "opening"
    desk = await at_desk(api, answers[0])
    note = (await desk.show())["note"]
    assert all(f"Queries of {name}" in note for name in names)
    revisions = await desk.revisions()
    assert [row["action"] for row in revisions] == ["extended"] * 5
    # All of it was added by the source, and nothing stands there less than before.
    assert {row["made_by"] for row in revisions} == {f"source:{sender.id}"}
    assert all("note" in row["fields"] and "note" not in row["former"] for row in revisions)


async def test_two_events_of_a_new_incident_that_come_at_once_are_one_draft(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY, components={"PSVC001": "checkout"})
    bodies = [pagerduty(), pagerduty("incident.reopened")]
    for body in bodies:
        # By the sender's clock it has not happened yet, so nobody can say which was first.
        body["event"]["occurred_at"] = "2099-01-01T00:00:00Z"
    async with ctx.pool.acquire() as conn, conn.transaction():
        await conn.execute("lock table incident in exclusive mode")
        sending = [asyncio.create_task(sender.send(body, ctx.now())) for body in bodies]
        await until_waiting(ctx, 2)
    answers = [await task for task in sending]
    assert sorted(became(answer) for answer in answers) == ["draft", "extended"]
    assert len(await drafts(api)) == 1


async def test_a_decision_and_an_alert_at_once_take_turns_without_a_deadlock(
    api: Api, ctx: Context
) -> None:
    """Both lock the incident first; else one would be undone, and begun again a second later."""
    begun_again = RETRIES.labels(conflict="DeadlockDetectedError")._value.get()
    sender = await group(api)
    desk = await at_desk(api, await sender.send(alertmanager(alert("a1")), ctx.now()))
    async with ctx.pool.acquire() as conn, conn.transaction():
        await conn.execute("select from incident for update")
        adding = asyncio.create_task(sender.send(alertmanager(alert("a2")), ctx.now()))
        await until_waiting(ctx, 1)
        editing = asyncio.create_task(desk.edit({"note": "mine"}))
        await until_waiting(ctx, 2)
    assert became(await adding) == "extended"
    # The alert was first, so what was edited is not what was seen.
    assert (await editing).status == 412
    assert RETRIES.labels(conflict="DeadlockDetectedError")._value.get() == begun_again


async def test_who_edits_while_an_alert_adds_to_the_draft_is_told_and_loses_nothing(
    api: Api, ctx: Context
) -> None:
    sender = await group(api, severities={"critical": "P2"})
    desk = await at_desk(api, await sender.send(alertmanager(alert("a1")), ctx.now()))
    worse = alertmanager(alert("a1"), alert("a2"), commonLabels={"severity": "P0"})
    assert became(await sender.send(worse, ctx.now())) == "extended"
    title = {"facts": {"title": "Payments are slow"}}
    refused = await desk.edit(title)
    assert (refused.status, refused.kind) == (412, "changed-meanwhile")
    seen = await desk.show()
    assert (seen["severity"], "Queries of a2" in seen["note"]) == ("P0", True)
    assert (await desk.edit(title)).json["facts"]["title"] == "Payments are slow"
    added = (await desk.revisions())[-1]
    assert added["fields"][:2] == ["note", "severity"]
    assert added["former"]["severity"] == "P2"
    # And what was written stays when the next one comes.
    await sender.send(alertmanager(alert("a1"), alert("a2"), alert("a3")), ctx.now())
    assert (await desk.show())["facts"]["title"] == "Payments are slow"


async def test_what_a_person_decided_is_not_undone_by_an_alert_that_says_nothing_worse(
    api: Api, ctx: Context
) -> None:
    assert (await api.call("PUT", "/v1/components/search", {"name": "Search"})).status == 201
    sender = await group(api)
    first = alertmanager(alert("a1", component="search", service="checkout"))
    desk = await at_desk(api, await sender.send(first, ctx.now()))
    assert (await desk.show())["component_ids"] == ["checkout", "search"]
    patch = {"severity": "P3", "component_ids": ["checkout"]}
    assert (await desk.edit(patch)).status == 200
    same = alertmanager(alert("a2", component="search"))
    assert became(await sender.send(same, ctx.now())) == "extended"
    seen = await desk.show()
    assert (seen["severity"], seen["component_ids"]) == ("P3", ["checkout"])
    assert "Queries of a2" in seen["note"]
    worse = alertmanager(alert("a3"), commonLabels={"severity": "P0"})
    assert became(await sender.send(worse, ctx.now())) == "extended"
    assert (await desk.show())["severity"] == "P0"


async def test_a_resolved_alert_proposes_a_resolution_once_customers_were_told(
    api: Api, ctx: Context
) -> None:
    sender = await group(api)
    desk = await at_desk(api, await sender.send(alertmanager(alert()), ctx.now()))
    assert (await (await written(ctx, desk)).submit()).status == 202
    over = await sender.send(alertmanager(alert(firing=False)), ctx.now())
    assert became(over) == "draft"
    resolution = await at_desk(api, over)
    view = await resolution.show()
    # It says what the last update said, so that it may go out as it is.
    assert (view["proposes"], view["missing"]) == ("resolution", [])
    assert view["facts"]["title"] == "Payments are slow"
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 1
    assert (await resolution.submit()).json["state"] == "dispatching"
    late = await sender.send(alertmanager(alert("a2", firing=False)), ctx.now())
    assert became(late) == "the incident is over already"


async def test_what_ended_before_anybody_was_told_is_withdrawn_unless_a_person_wrote_there(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await group(api)
    first = await at_desk(api, await sender.send(alertmanager(alert()), ctx.now()))
    over = await sender.send(alertmanager(alert(firing=False)), ctx.now())
    assert became(over) == "nobody was told of it, so there is nothing to take back"
    assert await drafts(api) == []
    late = await first.submit()
    assert (late.status, late.kind) == (409, "not-a-draft")
    assert "It ended before anybody was told" in late.json["detail"]
    # It fires again within the hour: the same incident, and a draft to write.
    clock.move(timedelta(minutes=30))
    again = alert() | {"startsAt": "2026-11-22T15:30:00Z"}
    second = await at_desk(api, await sender.send(alertmanager(again), ctx.now()))
    assert second.path != first.path
    await written(ctx, second)
    ended = again | {"status": "resolved"}
    kept = await sender.send(alertmanager(ended), ctx.now())
    assert (became(kept), kept.json["links"]["draft"]) == ("extended", second.path)
    view = await second.show()
    assert view["note"].rstrip().endswith("else discard this draft.")
    assert view["facts"]["title"] == "Payments are slow"
    # Who wants to tell of it after all does as the note says.
    assert (await second.edit({"status": "resolved"})).status == 200
    assert (await second.submit()).status == 202


async def test_a_discarded_draft_is_not_opened_again_by_the_same_incident_but_by_the_next(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await group(api)
    opened = await sender.send(alertmanager(alert("a1")), ctx.now())
    desk = await at_desk(api, opened)
    assert (await desk.edit({"severity": "P3"})).status == 200
    assert (await desk.discard("known noise")).status == 200
    said_no = "a person discarded the draft of this incident"
    clock.move(timedelta(hours=5))
    repeated = await sender.send(alertmanager(alert("a1")), ctx.now())
    assert repeated.headers["Idempotency-Replayed"] == "true"
    for answer in (
        await sender.send(alertmanager(alert("a1"), alert("a2")), ctx.now()),
        await sender.send(alertmanager(alert("a1", firing=False), alert("a2")), ctx.now()),
    ):
        assert answer.status == 200, answer.body
    assert became(await sender.send(alertmanager(alert("a3")), ctx.now())) == said_no
    assert await drafts(api) == []
    # What is worse than it ever was is another question.
    worse = alertmanager(alert("a4"), commonLabels={"severity": "P0"})
    again = await sender.send(worse, ctx.now())
    assert (became(again), again.json["incident_id"]) == ("draft", opened.json["incident_id"])
    assert (await (await at_desk(api, again)).discard()).status == 200
    # It ends, and an hour later the group stands for the next incident.
    ended = await sender.send(alertmanager(alert("a4", firing=False)), ctx.now())
    assert became(ended) == "nobody was told of it, so there is nothing to take back"
    clock.move(timedelta(minutes=61))
    following = alert("a1") | {"startsAt": "2026-11-23T15:30:00Z"}
    fresh = await sender.send(alertmanager(following), ctx.now())
    assert became(fresh) == "draft"
    assert fresh.json["incident_id"] != opened.json["incident_id"]
