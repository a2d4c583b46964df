"""What comes through the door, from each sender, over real HTTP and with a right proof."""

from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from tests.flow.story import MovableClock
from tests.intake import payloads
from tests.intake.payloads import alert, alertmanager, pagerduty, statuspage
from tests.intake.senders import Sender, source
from tests.web.client import Answer, Api

pytestmark = pytest.mark.usefixtures("people")

AUTO: dict[str, Any] = {
    "mode": "auto",
    "component_ids": ["checkout"],
    "next_update_within": "30min",
}


async def updates(ctx: Context) -> list[dict[str, Any]]:
    rows = await ctx.pool.fetch(
        """select u.*, i.external_id from incident_update u join incident i on i.id = u.incident_id
           order by u.id"""
    )
    return [dict(row) for row in rows]


async def incidents(ctx: Context) -> list[str]:
    rows = await ctx.pool.fetch("select external_id from incident order by id")
    return [row["external_id"] for row in rows]


def became(answer: Answer) -> str:
    """What the event became, or why nothing."""
    assert answer.status in {200, 202}, answer.body
    return str(answer.json.get("became") or answer.json["ignored"])


async def sending(ctx: Context, sender: Sender) -> Any:
    """Sends one body after the other, each a message of its own."""
    number = 0

    async def send(body: object) -> Answer:
        nonlocal number
        number += 1
        return await sender.send(body, ctx.now(), f"msg_{number}")

    return send


async def test_an_alert_opens_a_draft_that_tells_customers_nothing_of_the_machine(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY, components={"PSVC001": "checkout"})
    answer = await sender.send(pagerduty(priority={"summary": "P1"}), ctx.now())
    assert became(answer) == "draft"
    assert answer.json["missing"] == ["title", "impact", "next_update_by"]
    assert answer.headers["Location"] == answer.json["links"]["draft"]
    draft = (await api.get(answer.json["links"]["update"])).json
    assert "p99 of checkout-db-7" in draft["note"]
    assert "checkout-db-7" not in str(draft["facts"])
    assert (draft["severity"], draft["created_by"]) == ("P1", f"source:{sender.id}")
    incident = (await api.get(answer.json["links"]["incident"])).json
    assert (incident["source"], incident["external_id"]) == ("pagerduty-1", "PINC001")
    assert await ctx.pool.fetchval("select count(*) from pgqueuer") == 0


async def test_two_alerts_of_one_group_make_one_incident_with_one_draft(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.ALERTMANAGER, severities={"critical": "P2"}))
    one, two = alert("a1"), alert("a2", component="checkout")
    first = await send(alertmanager(one))
    second = await send(alertmanager(one, two, commonLabels={"severity": "P0"}))
    third = await send(alertmanager(one, two))
    assert [became(item) for item in (first, second, third)] == ["draft", "extended", "extended"]
    assert third.headers["Idempotency-Replayed"] == "true"
    assert first.json["update_id"] == second.json["update_id"] == third.json["update_id"]
    (draft,) = await updates(ctx)
    assert [draft["note"].count(f"Queries of {name}") for name in ("a1", "a2")] == [1, 1]
    # As bad as the worst of them, and what concerns any of them.
    assert (draft["severity"], len(draft["component_ids"])) == (0, 1)
    # What stands for the group is shown to customers; the group's own key names machines.
    assert draft["external_id"].startswith("A-")
    assert "ops@example.com" not in draft["note"]
    assert "555" not in draft["note"]


async def test_a_group_that_ends_proposes_a_resolution_and_firing_again_withdraws_it(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    words = {"title": "Payments are slow", "impact": "Some payments take a minute."}
    send = await sending(ctx, await source(api, Kind.ALERTMANAGER, **AUTO, prepared=words))
    both = alert("a1"), alert("a2")
    assert became(await send(alertmanager(*both))) == "update"
    half = await send(alertmanager(alert("a1", firing=False), alert("a2")))
    assert became(half) == "some alerts of the group have ended, and it still fires"
    assert (
        became(await send(alertmanager(*(alert(n, firing=False) for n in ("a1", "a2"))))) == "draft"
    )
    clock.move(timedelta(minutes=59))
    again = alert("a1") | {"startsAt": "2026-11-22T15:30:00Z"}
    assert became(await send(alertmanager(again))) == "draft"
    assert [(row["state"], row["status"]) for row in await updates(ctx)] == [
        ("accepted", "investigating"),
        ("cancelled", "resolved"),
        ("draft", "investigating"),
    ]
    assert len(await incidents(ctx)) == 1


async def test_a_group_that_fires_again_an_hour_after_its_end_is_another_incident(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    send = await sending(ctx, await source(api, Kind.ALERTMANAGER, component_ids=["checkout"]))
    await send(alertmanager(alert()))
    await send(alertmanager(alert(firing=False)))
    clock.move(timedelta(minutes=61))
    assert (
        became(await send(alertmanager(alert() | {"startsAt": "2026-11-23T15:30:00Z"}))) == "draft"
    )
    assert len(set(await incidents(ctx))) == 2


async def test_words_that_a_person_prepared_may_go_out_by_an_alert_where_the_source_says_so(
    api: Api, ctx: Context
) -> None:
    words = {"title": "Payments are slow", "impact": "Some payments take a minute."}
    send = await sending(ctx, await source(api, Kind.ALERTMANAGER, **AUTO, prepared=words))
    first = await send(alertmanager())
    assert (became(first), first.json["state"]) == ("update", "dispatching")
    assert became(await send(alertmanager(alert("a3")))) == "draft"
    assert became(await send(alertmanager(alert("a1", firing=False)))) == "draft"
    rows = await updates(ctx)
    assert [row["state"] for row in rows] == ["accepted", "draft", "draft"]
    assert rows[0]["facts"]["title"] == words["title"]
    assert "CheckoutSlow" not in str(rows[0]["facts"])


async def test_statuspage_resends_its_history_and_only_the_newest_unseen_becomes_an_update(
    api: Api, ctx: Context
) -> None:
    sender = await source(
        api, Kind.STATUSPAGE, **(AUTO | {"component_ids": []}), components={"Shop": "checkout"}
    )
    send = await sending(ctx, sender)
    watched = payloads.statuspage_update(2, "monitoring", "A fix is in; we watch it.")
    first = await send(statuspage())
    again = await send(statuspage())
    over = await send(statuspage(payloads.OPENED, watched, payloads.RESOLVED))
    late = await send(statuspage(payloads.OPENED, watched))
    assert (became(first), first.json["state"]) == ("update", "dispatching")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json["update_id"] == first.json["update_id"]
    assert (became(over), over.json["incident_id"]) == ("update", first.json["incident_id"])
    assert became(late) == "a newer update of the incident had come already"
    rows = await updates(ctx)
    assert [row["status"] for row in rows] == ["identified", "resolved"]
    facts = rows[0]["facts"]
    assert (facts["title"], facts["impact"]) == ("Some payments fail", payloads.OPENED["body"])
    assert (rows[0]["severity"], rows[0]["created_by"]) == (1, f"source:{sender.id}")


async def test_a_source_met_in_the_middle_of_an_incident_does_not_tell_its_whole_story(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.STATUSPAGE, **AUTO))
    story = [payloads.statuspage_update(n, "monitoring", f"Step {n}.") for n in range(1, 7)]
    assert became(await send(statuspage(*story))) == "update"
    (row,) = await updates(ctx)
    assert row["facts"]["impact"] == "Step 6."


async def test_a_status_update_of_pagerduty_is_a_draft_until_a_person_has_named_the_incident(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.PAGERDUTY, **AUTO))
    first = await send(payloads.pagerduty_status_update())
    assert (became(first), first.json["missing"]) == ("draft", ["title"])
    (draft,) = await updates(ctx)
    assert draft["facts"]["impact"].startswith("Some card payments fail.")
    assert "Called there: p99 of checkout-db-7" in draft["note"]


async def test_a_source_that_is_trusted_with_titles_sends_what_people_write_there(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.PAGERDUTY, **AUTO, trust_titles=True))
    assert became(await send(payloads.pagerduty_status_update())) == "update"
    send = await sending(
        ctx,
        await source(api, Kind.INCIDENTIO, **AUTO, trust_titles=True, severities={"minor": "P3"}),
    )
    assert became(await send(payloads.incidentio_created())) == "draft"
    assert became(await send(payloads.incidentio_status())) == "update"
    rows = await updates(ctx)
    assert [row["severity"] for row in rows] == [2, 3, 3]
    assert (rows[2]["status"], rows[2]["external_id"]) == ("resolved", "INC-123")


@pytest.mark.parametrize("kind", [Kind.CLOUDEVENTS, Kind.STANDARD_WEBHOOKS])
async def test_own_systems_say_it_in_our_words_and_it_goes_out(
    api: Api, ctx: Context, kind: Kind
) -> None:
    send = await sending(ctx, await source(api, kind, mode="auto"))
    (body,) = payloads.of_every_kind()[kind][:1]
    answer = await send(body)
    assert (became(answer), answer.json["state"]) == ("update", "dispatching")
    (row,) = await updates(ctx)
    assert (row["external_id"], row["facts"]["title"]) == (
        "INC-42",
        "Some customers cannot check out",
    )
    assert row["facts"]["next_update_by"].startswith("2099-11-22T14:30")


async def test_a_binary_cloudevent_says_the_same_as_a_structured_one(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.CLOUDEVENTS, mode="auto")
    event = payloads.cloudevent()
    binary = {f"ce-{name}": event[name] for name in ("specversion", "type", "source", "id")}
    first = await sender.send(event["data"], ctx.now(), **binary)
    structured = {"Content-Type": "application/cloudevents+json"}
    second = await sender.send(event, ctx.now(), **structured)
    assert (first.status, became(first)) == (202, "update"), first.body
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json["update_id"] == first.json["update_id"]


async def test_what_cannot_go_out_as_it_came_is_kept_as_a_draft_that_says_why(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.STATUSPAGE, **(AUTO | {"component_ids": []})))
    nobody = await send(statuspage())
    assert (became(nobody), nobody.json["missing"]) == ("draft", ["component_ids"])
    long = "Some payments fail. " * 100
    told = await send(statuspage(payloads.statuspage_update(2, "monitoring", long)))
    assert "impact" in told.json["missing"]
    rows = await updates(ctx)
    assert "It could not be sent as it came" in rows[0]["note"]
    assert long.strip() in rows[1]["note"]


async def test_a_draft_that_names_nobody_cannot_be_released(api: Api, ctx: Context) -> None:
    send = await sending(ctx, await source(api, Kind.STATUSPAGE, mode="draft"))
    answer = await send(statuspage(payloads.RESOLVED))
    assert answer.json["missing"] == ["component_ids"]
    released = await api.call(
        "POST", f"{answer.json['links']['draft']}/submit", headers={"If-Match": "*"}
    )
    assert (released.status, released.kind) == (422, "incomplete-draft")
    assert released.json["errors"][0]["pointer"] == "/component_ids"


async def test_an_event_is_taken_although_the_promised_time_of_an_update_has_passed(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    chosen = {**AUTO, "next_update_within": None}
    send = await sending(ctx, await source(api, Kind.STANDARD_WEBHOOKS, **chosen))
    soon = (ctx.now() + timedelta(minutes=30)).isoformat()
    first = await send(payloads.own_webhook(data=payloads.native(next_update_by=soon)))
    clock.move(timedelta(minutes=10))
    kept = await send(payloads.own_webhook(data=payloads.native(next_update_by=None)))
    clock.move(timedelta(minutes=40))
    late = await send(payloads.own_webhook(data=payloads.native(next_update_by=soon)))
    assert [became(item) for item in (first, kept, late)] == ["update", "update", "draft"]
    assert late.json["missing"] == ["next_update_by"]
    over = await send(payloads.own_webhook(data=payloads.native(status="resolved")))
    assert became(over) == "update"


async def test_words_that_newer_words_have_overtaken_on_their_way_are_not_told_any_more(
    api: Api, ctx: Context
) -> None:
    """Senders try again for hours and promise no order; what is over must not go on again."""
    sender = await source(api, Kind.INCIDENTIO, **AUTO, trust_titles=True)
    send = await sending(ctx, sender)

    def at(moment: str, message: str, **status: str) -> payloads.Json:
        body = payloads.incidentio_status(message, new_status=status)
        body[body["event_type"]]["incident"]["updated_at"] = moment
        return body

    over = at("2026-11-22T15:00:00Z", "All payments work again.", name="Closed", category="closed")
    late = at("2026-11-22T14:30:00.5Z", "We roll back.", name="Fixing", category="live")
    assert became(await send(over)) == "update"
    overtaken = "a newer update of the incident had come already"
    assert became(await send(late)) == overtaken
    assert [row["status"] for row in await updates(ctx)] == ["resolved"]
    # A clock that runs ahead silences nobody: what claims to be of the future is not remembered.
    ahead = at("2099-01-01T00:00:00Z", "It is back.", name="Fixing", category="live")
    after = at("2026-11-22T15:10:00Z", "It is over.", name="Closed", category="closed")
    assert [became(await send(body)) for body in (ahead, after)] == ["update", "update"]
    # A person may still want it.
    event = (await api.get(f"/v1/sources/{sender.id}/events")).json["data"][2]
    assert event["detail"] == overtaken
    path = f"/v1/sources/{sender.id}/events/{event['id']}/replay"
    assert (await api.call("POST", path, {"force": True})).json["became"] == "update"
    assert became(await send(late | {"more": 1})) == overtaken


async def test_an_alert_that_was_resolved_before_it_arrived_does_not_open_it_again(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.PAGERDUTY, **AUTO))
    opened, over = pagerduty(), pagerduty("incident.resolved")
    over["event"]["occurred_at"] = "2026-11-22T14:05:00Z"
    assert became(await send(over)) == "draft"
    assert became(await send(opened)) == "a newer update of the incident had come already"
    # What people say has an order of its own: no machine overtakes it.
    assert became(await send(payloads.pagerduty_status_update())) == "draft"
    assert [row["status"] for row in await updates(ctx)] == ["resolved", "investigating"]


async def test_an_end_of_opsgenie_that_overtook_its_beginning_is_not_undone_by_it(
    api: Api, ctx: Context
) -> None:
    send = await sending(ctx, await source(api, Kind.OPSGENIE, **AUTO))
    assert became(await send(payloads.opsgenie("Close", updatedAt=1795356060000000110))) == "draft"
    late = await send(payloads.opsgenie())
    assert became(late) == "a newer update of the incident had come already"
    assert [row["status"] for row in await updates(ctx)] == ["resolved"]


async def test_the_end_of_what_is_over_already_is_no_news(api: Api, ctx: Context) -> None:
    send = await sending(ctx, await source(api, Kind.PAGERDUTY, **AUTO, trust_titles=True))
    await send(payloads.pagerduty_status_update())
    await api.update(
        {
            "source": "pagerduty-1",
            "incident": {"external_id": "PINC001"},
            "status": "resolved",
        }
    )
    assert became(await send(pagerduty("incident.resolved"))) == "the incident is over already"
    assert became(await send(pagerduty("incident.reopened"))) == "draft"
    assert [row["status"] for row in await updates(ctx)][-1] == "investigating"


IGNORED: list[tuple[Kind, payloads.Json, str]] = [
    (Kind.PAGERDUTY, pagerduty("incident.priority_updated"), "priority_updated"),
    (Kind.STATUSPAGE, payloads.statuspage_component(), "component"),
    (Kind.STATUSPAGE, statuspage(backfilled=True), "after it was over"),
    (Kind.STATUSPAGE, {"page": {"id": "x"}, "incidents": []}, "list of incidents"),
    (
        Kind.STATUSPAGE,
        statuspage(payloads.statuspage_update(1, "identified", "x", deliver_notifications=False)),
        "notify nobody",
    ),
    (Kind.OPSGENIE, payloads.opsgenie("Acknowledge"), "Acknowledge"),
    (Kind.INCIDENTIO, {"event_type": "private_incident.incident_created_v2"}, "private"),
    (Kind.INCIDENTIO, payloads.incidentio_created(mode="test"), "test"),
    (Kind.CLOUDEVENTS, payloads.cloudevent(type="com.example.order.placed"), "order.placed"),
    (Kind.STANDARD_WEBHOOKS, payloads.own_webhook(type="ping"), "ping"),
]


async def test_an_event_of_no_use_is_answered_with_the_reason_and_changes_nothing(
    api: Api, ctx: Context
) -> None:
    senders = {kind: await source(api, kind, mode="auto") for kind in {one[0] for one in IGNORED}}
    for number, (kind, body, why) in enumerate(IGNORED):
        answer = await senders[kind].send(body, ctx.now(), f"msg_{number}")
        assert answer.status == 200, (body, answer.body)
        assert why in answer.json["ignored"]
    assert await incidents(ctx) == []


async def test_a_person_who_reads_updates_in_the_api_decides_more_than_the_source(
    api: Api, ctx: Context
) -> None:
    """Visibility and audience are said once; later words of the source leave them as they are."""
    chosen = {"visibility": "public", "audience": {"segments": ["enterprise", "smb"]}}
    sender = await source(api, Kind.STATUSPAGE, **AUTO, **chosen)
    send = await sending(ctx, sender)
    await send(statuspage())
    await api.update(
        {
            "source": "statuspage-1",
            "incident": {"external_id": "spinc1", "visibility": "customers"},
            "status": "monitoring",
            "facts": {"next_update_by": "2099-01-01T00:00:00Z"},
            "audience": {"segments": ["enterprise"]},
        }
    )
    await send(statuspage(payloads.OPENED, payloads.RESOLVED))
    rows = await updates(ctx)
    assert [row["visibility"] for row in rows] == ["public", "customers", "customers"]
    assert [row["audience"]["segments"] for row in rows] == [
        ["enterprise", "smb"],
        ["enterprise"],
        ["enterprise"],
    ]
