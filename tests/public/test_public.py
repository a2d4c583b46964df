"""Everybody may read what everybody was told, in the shape dashboards and feed readers know."""

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from dispatcher.context import Context
from dispatcher.ids import PAGE_KINDS
from tests.flow.story import MovableClock, contact, eventually, plan_out, post, seed, update
from tests.web.client import Api

ATOM = "{http://www.w3.org/2005/Atom}"
DOCUMENTS = (
    "/api/v2/summary.json",
    "/api/v2/status.json",
    "/api/v2/components.json",
    "/api/v2/incidents.json",
    "/api/v2/incidents/unresolved.json",
    "/api/v2/scheduled-maintenances.json",
    "/history.atom",
    "/history.rss",
)


async def tell(ctx: Context, name: str = "INC-42", **more: Any) -> int:
    """One public update on its way; anything may be overridden."""
    incident = {"external_id": name, "visibility": "public", **more.pop("incident", {})}
    accepted = await post(ctx, update(ctx, incident=incident, **more))
    await plan_out(ctx, accepted)
    return accepted.incident_id


async def read(api: Api, path: str) -> Any:
    answer = await api.get(path)
    assert answer.status == 200, answer.body
    return answer.json


async def test_what_was_told_to_everybody_is_there_and_nothing_else(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "acme-eu")])
    await tell(
        ctx, "INC-1", facts={"impact": "Said to customers."}, incident={"visibility": "customers"}
    )
    await tell(
        ctx, "INC-2", incident={"severity": "P0"}, internal={"cause": "canary-cause"}, note="canary"
    )
    clock.move(timedelta(minutes=5))
    number = await tell(
        ctx,
        "INC-2",
        status="identified",
        incident={"severity": "P0"},
        facts={"what_we_do": "We <replace> a part."},
    )
    clock.move(timedelta(minutes=5))
    await tell(
        ctx, "INC-1", incident={"visibility": "public"}, facts={"impact": "Said to everybody."}
    )
    await post(
        ctx,
        update(ctx, incident={"external_id": "INC-2"}, facts={"impact": "A draft."}, mode="draft"),
    )
    await post(ctx, update(ctx, incident={"external_id": "INC-3", "visibility": "public"}))

    summary = await read(anonymous, "/api/v2/summary.json")
    assert summary["status"] == {"indicator": "critical", "description": "Major System Outage"}
    assert [item["status"] for item in summary["components"]] == ["major_outage"]
    assert [item["name"] for item in summary["components"]] == ["Checkout"]
    # The third is accepted and not approved yet: its words are not decided.
    second, first = summary["incidents"]
    assert (second["impact"], second["status"]) == ("critical", "identified")
    assert second["shortlink"].endswith(ctx.signer.public_id(PAGE_KINDS["public"], number))
    bodies = [item["body"] for item in second["incident_updates"]]
    assert bodies[0].startswith("We <replace> a part.\n\nNext update by ")
    assert bodies[1].startswith("About one in five card payments fails at checkout.")
    assert [item["body"].splitlines()[0] for item in first["incident_updates"]] == [
        "Said to everybody."
    ]

    for path in DOCUMENTS:
        answer = await anonymous.get(path)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert (
            await anonymous.get(path, **{"If-None-Match": answer.headers["ETag"]})
        ).status == 304
        for hidden in (
            b"canary",
            b"Said to customers",
            b"A draft",
            b"INC-",
            b"checkout-api",
            b"acme-eu",
        ):
            assert hidden not in answer.body, (path, hidden)

    page = await anonymous.get(second["shortlink"].removeprefix(anonymous.base))
    assert page.status == 200


async def test_the_end_of_an_incident_is_told_and_it_leaves_what_is_open(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "acme-eu")])
    await tell(ctx, facts={"workaround": {"steps": ["Pay by invoice."]}})
    clock.move(timedelta(minutes=30))
    await tell(ctx)
    clock.move(timedelta(minutes=30))
    await tell(
        ctx,
        status="monitoring",
        facts={"next_update_by": (ctx.now() + timedelta(hours=2)).isoformat()},
    )
    clock.move(timedelta(minutes=30))
    await tell(ctx, status="resolved", facts={"next_update_by": None})

    (incident,) = (await read(anonymous, "/api/v2/incidents.json"))["incidents"]
    assert (incident["status"], incident["resolved_at"]) == ("resolved", incident["updated_at"])
    assert incident["monitoring_at"] < incident["resolved_at"]
    over, _, same, opening = [item["body"] for item in incident["incident_updates"]]
    assert over == "This is over."
    assert same.startswith("Nothing has changed since the last update.\n\nNext update by ")
    assert "What you can do meanwhile:\n1. Pay by invoice." in opening
    assert (await read(anonymous, "/api/v2/incidents/unresolved.json"))["incidents"] == []
    summary = await read(anonymous, "/api/v2/summary.json")
    assert summary["status"]["indicator"] == "none"
    assert [item["status"] for item in summary["components"]] == ["operational"]


async def test_planned_work_is_told_apart_and_shows_only_while_it_is_done(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    await seed(ctx, [contact(1, "acme-eu")])
    planned = {"severity": "planned"}
    await tell(ctx, status="scheduled", incident=planned)
    (found,) = (await read(anonymous, "/api/v2/scheduled-maintenances.json"))[
        "scheduled_maintenances"
    ]
    assert (found["impact"], found["status"]) == ("maintenance", "scheduled")
    assert (await read(anonymous, "/api/v2/incidents.json"))["incidents"] == []
    assert (await read(anonymous, "/api/v2/status.json"))["status"]["indicator"] == "none"
    clock.move(timedelta(minutes=5))
    await tell(ctx, status="in_progress", incident=planned)

    async def shows() -> bool:
        summary = await read(anonymous, "/api/v2/summary.json")
        words = [item["status"] for item in summary["components"]]
        return (summary["status"]["indicator"], words) == ("maintenance", ["under_maintenance"])

    # One look serves everybody for a moment, and for no longer.
    await eventually(shows, what="maintenance that has begun")


async def test_feeds_can_be_read_by_readers(anonymous: Api, ctx: Context) -> None:
    await seed(ctx, [contact(1, "acme-eu")])
    await tell(ctx, facts={"title": 'Tags <b> & "quotes"', "impact": "One <b>\nTwo & three"})
    atom = ET.fromstring((await anonymous.get("/history.atom")).body)  # noqa: S314 - our own document
    (entry,) = atom.findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}title") == 'Tags <b> & "quotes"'
    content = entry.findtext(f"{ATOM}content") or ""
    assert "<p>One &lt;b&gt;<br>Two &amp; three</p>" in content
    link = entry.find(f"{ATOM}link")
    assert link is not None
    assert (await anonymous.get(link.attrib["href"].removeprefix(anonymous.base))).status == 200
    rss = ET.fromstring((await anonymous.get("/history.rss")).body)  # noqa: S314 - our own document
    assert rss.findtext("channel/item/title") == 'Tags <b> & "quotes"'
    assert rss.findtext("channel/item/description") == content


@pytest.mark.parametrize("is_public", [False])
@pytest.mark.usefixtures("is_public")
async def test_nothing_is_public_until_an_operator_says_so(anonymous: Api) -> None:
    for path in DOCUMENTS:
        answer = await anonymous.get(path)
        assert (answer.status, answer.kind) == (404, "not-found"), path
