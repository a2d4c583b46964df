"""What comes through the door, from each sender, over real HTTP and with a right proof."""

from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from tests.intake import payloads
from tests.intake.senders import source
from tests.web.client import Api

pytestmark = pytest.mark.usefixtures("people")


async def drafts(ctx: Context) -> list[dict[str, Any]]:
    rows = await ctx.pool.fetch("select * from incident_update order by id")
    return [dict(row) for row in rows]


async def test_an_alert_of_pagerduty_opens_a_draft_that_tells_customers_nothing(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY, components={"PSVC001": "checkout"})
    answer = await sender.send(payloads.pagerduty(), ctx.now())
    assert answer.status == 202, answer.body
    assert (answer.json["became"], answer.json["state"]) == ("draft", "draft")
    assert answer.json["missing"] == ["title", "impact", "next_update_by"]
    (draft,) = await drafts(ctx)
    assert "p99 of checkout-db-7" in draft["note"]
    assert "checkout-db-7" not in str(draft["facts"])
    incident = await api.get(answer.json["links"]["incident"])
    assert (incident.json["source"], incident.json["external_id"]) == ("pagerduty-1", "PINC001")


async def test_two_alerts_of_one_group_make_one_incident_with_one_draft(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    one, two = payloads.alert("a1"), payloads.alert("a2")
    first = await sender.send(payloads.alertmanager(one), ctx.now())
    second = await sender.send(payloads.alertmanager(one, two), ctx.now())
    assert (first.json["became"], second.json["became"]) == ("draft", "extended")
    assert first.json["update_id"] == second.json["update_id"]
    (draft,) = await drafts(ctx)
    assert draft["note"].count("Queries of a1") == 1
    assert draft["note"].count("Queries of a2") == 1
    assert await ctx.pool.fetchval("select count(*) from incident") == 1


async def test_statuspage_resends_its_history_and_only_what_is_new_becomes_an_update(
    api: Api, ctx: Context
) -> None:
    sender = await source(
        api,
        Kind.STATUSPAGE,
        mode="auto",
        components={"Shop": "checkout"},
        next_update_within="30min",
    )
    first = await sender.send(payloads.statuspage(), ctx.now())
    assert (first.status, first.json["became"]) == (202, "update"), first.body
    assert first.json["state"] == "dispatching"
    again = await sender.send(payloads.statuspage(), ctx.now())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json["update_id"] == first.json["update_id"]
    over = await sender.send(payloads.statuspage(payloads.OPENED, payloads.RESOLVED), ctx.now())
    assert (over.json["became"], over.json["incident_id"]) == ("update", first.json["incident_id"])
    rows = await drafts(ctx)
    assert [row["status"] for row in rows] == ["identified", "resolved"]
    assert rows[0]["facts"]["title"] == "Some payments fail"
    assert rows[0]["facts"]["impact"] == payloads.OPENED["body"]
