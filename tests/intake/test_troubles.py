"""Floods, forgers and broken senders: each is braked, each is told, and none of them hides the truth."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from dispatcher.clocks.maintenance import maintain
from dispatcher.config import ApiSettings, Settings
from dispatcher.context import Context
from dispatcher.intake import events
from dispatcher.intake.model import Kind, Trouble
from dispatcher.intake.troubles import NOTED_EVERY_S, Brake
from tests.flow.story import MovableClock
from tests.intake.payloads import alert, alertmanager, pagerduty, statuspage
from tests.intake.senders import Sender, source
from tests.web.client import Api

pytestmark = pytest.mark.usefixtures("people")

ALLOWED = 4


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    few = ApiSettings(events_by_source=ALLOWED, proxies=1)
    return web_settings.model_copy(update={"api": few})


async def shown(api: Api, sender: Sender) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/v1/sources/{sender.id}")).json
    return found


def rejected(kind: Kind, reason: str) -> float:
    labels = {"source": kind.value, "reason": reason}
    return REGISTRY.get_sample_value("tidings_intake_rejected_total", labels) or 0.0


async def test_a_source_that_floods_us_is_asked_to_wait_and_forgers_use_up_nothing_of_its_share(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.ALERTMANAGER)
    other = await source(api, Kind.PAGERDUTY)
    forged = {"Authorization": "Bearer not-the-secret"}
    before = (
        rejected(Kind.ALERTMANAGER, "too-many-requests"),
        rejected(Kind.ALERTMANAGER, "forged-event"),
    )
    for _ in range(3 * ALLOWED):
        assert (await sender.send(alertmanager(), ctx.now(), **forged)).kind == "forged-event"
    taken = [
        await sender.send(alertmanager(alert(f"a{number}")), ctx.now()) for number in range(ALLOWED)
    ]
    assert [item.status for item in taken] == [202] * ALLOWED
    late = await sender.send(alertmanager(alert("late")), ctx.now())
    assert (late.status, late.kind) == (429, "too-many-requests")
    assert 0 < int(late.headers["Retry-After"]) <= 60 // ALLOWED
    assert (await sender.send(alertmanager(), ctx.now(), **forged)).status == 403
    assert (await other.send(pagerduty(), ctx.now())).status == 202
    # An operator who replays is not the sender.
    event = taken[-1].json["event_id"]
    again = await api.call("POST", f"/v1/sources/{sender.id}/events/{event}/replay", {})
    assert again.status == 202
    note = await ctx.pool.fetchval("select string_agg(note, '') from incident_update")
    assert "Queries of late" not in note
    kinds = await ctx.pool.fetch("select kind from source_trouble order by kind")
    assert [row["kind"] for row in kinds] == ["forged", "throttled"]
    assert rejected(Kind.ALERTMANAGER, "too-many-requests") - before[0] == 1
    assert rejected(Kind.ALERTMANAGER, "forged-event") - before[1] == 3 * ALLOWED + 1


def test_what_anybody_may_send_by_the_thousand_is_noted_once_in_a_while_and_counted_all() -> None:
    brake = Brake()
    assert [brake.pass_on(1, Trouble.FORGED, at) for at in (0.0, 1.0, NOTED_EVERY_S - 0.1)] == [
        1,
        0,
        0,
    ]
    assert brake.pass_on(1, Trouble.THROTTLED, 1.0) == 1
    assert brake.pass_on(2, Trouble.FORGED, 1.0) == 1
    assert brake.pass_on(1, Trouble.FORGED, NOTED_EVERY_S) == 3


async def test_the_inspector_holds_so_much_of_a_source_and_no_more_whatever_it_sends(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.ALERTMANAGER)
    number = ctx.signer.read_public_id("src", sender.id)
    await ctx.pool.execute(
        """insert into intake_event (source_id, at, outcome, sealed)
           select $1, $2, 'ignored', decode(repeat('00', 900000), 'hex') from generate_series(1, 12)""",
        number,
        ctx.now(),
    )
    await ctx.pool.execute(
        """insert into intake_event (source_id, at, outcome)
           select $1, $2, 'forged' from generate_series(1, 200)""",
        number,
        ctx.now(),
    )
    answer = await sender.send(alertmanager(), ctx.now())
    rows = await ctx.pool.fetch(
        "select outcome = 'forged' as forged, count(*), sum(octet_length(sealed)) as held"
        " from intake_event group by 1 order by 1"
    )
    assert rows[0]["held"] <= events.KEPT_BYTES
    # What nobody proved pushes out nothing that is true.
    assert [row["count"] for row in rows] == [1 + events.KEPT_BYTES // 900_000, events.KEPT_FORGED]
    newest = (await api.get(f"/v1/sources/{sender.id}/events")).json["data"][0]
    assert newest["id"] == answer.json["event_id"]


async def test_a_source_that_is_refused_something_is_told_once_an_hour_with_how_often(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await source(api, Kind.PAGERDUTY, name="pager")
    await ctx.pool.execute(
        """insert into webhook_endpoint (url, events, created_at, created_by)
           values ('https://hooks.example.com/', '{source.error}', now(), 'test')"""
    )
    told = "select data from webhook_event order by id"
    began = ctx.now()
    broken = b'{"event": {"event_type": "ada@example.com"}}'
    moved = (timedelta(0), timedelta(minutes=59), timedelta(minutes=2))
    for span, count in zip(moved, (1, 1, 2), strict=True):
        clock.move(span)
        assert (await sender.send(broken[:-5], ctx.now())).status == 400
        assert len(await ctx.pool.fetch(told)) == count
    first, second = [row["data"] for row in await ctx.pool.fetch(told)]
    assert (first["name"], first["kind"], first["error"], first["count"]) == (
        "pager",
        "pagerduty",
        "malformed",
        1,
    )
    assert (first["detail"], second["count"]) == ("the body: is not JSON", 2)
    # Another kind of trouble is told at once, and the last of them is shown with the source.
    clock.move(timedelta(seconds=1))
    wrong = {"X-PagerDuty-Signature": "v1=00"}
    await sender.send(pagerduty(), ctx.now(), **wrong)
    assert len(await ctx.pool.fetch(told)) == 3
    found = await shown(api, sender)
    assert found["last_error"] == {
        "kind": "forged",
        "at": found["last_error"]["at"],
        "since": found["last_error"]["since"],
        "count": 1,
        "detail": "Its signature or secret is missing, wrong, or too old",
    }
    # An hour without any of a kind, and the next is a trouble of its own.
    clock.move(timedelta(minutes=61))
    await sender.send(broken[:-5], ctx.now())
    last = (await shown(api, sender))["last_error"]
    assert (last["kind"], last["count"]) == ("malformed", 1)
    assert last["since"] == last["at"] > began.isoformat()
    clock.move(timedelta(days=7, hours=1))
    await maintain(ctx)
    assert (await shown(api, sender))["last_error"] is None


async def test_what_an_operator_replays_in_vain_is_no_trouble_of_the_sender(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY)
    await sender.send(b"{}", ctx.now())
    (event,) = (await api.get(f"/v1/sources/{sender.id}/events")).json["data"]
    path = f"/v1/sources/{sender.id}/events/{event['id']}/replay"
    assert (await api.call("POST", path, {})).status == 400
    assert await ctx.pool.fetchval("select n from source_trouble") == 1
    # Nor is a sender that an operator has turned off, which goes on sending for a while.
    await api.patch(f"/v1/sources/{sender.id}", {"disabled": True})
    assert (await sender.send(pagerduty(), ctx.now())).kind == "source-disabled"
    assert await ctx.pool.fetchval("select count(*) from source_trouble") == 1


async def test_a_source_may_be_bound_to_the_networks_of_its_sender(api: Api, ctx: Context) -> None:
    chosen = {"networks": ["203.0.113.0/24", "2001:db8::/32"]}
    sender = await source(api, Kind.STATUSPAGE, **chosen)
    answers = {
        address: (await sender.send(statuspage(), ctx.now(), **{"X-Forwarded-For": address})).status
        for address in (
            "203.0.113.9",
            "198.51.100.1",
            # What somebody wrote there before the proxy did proves nothing.
            "203.0.113.9, 198.51.100.1",
            "198.51.100.1, 2001:db8::7",
            "nonsense",
        )
    }
    assert list(answers.values()) == [202, 403, 403, 202, 403]
    found = await shown(api, sender)
    assert found["networks"] == chosen["networks"]
    assert found["last_error"]["detail"] == "It came from an address that the source does not allow"
    # From the right place, but with the wrong address.
    guess = Sender(api, Kind.STATUSPAGE, sender.id, sender.path[:-1], sender.secret)
    right = {"X-Forwarded-For": "203.0.113.9"}
    assert (await guess.send(orjson.dumps(statuspage()), ctx.now(), **right)).status == 403
    wrong = await api.patch(f"/v1/sources/{sender.id}", {"networks": ["everywhere"]})
    assert (wrong.status, wrong.kind) == (422, "invalid-request")
