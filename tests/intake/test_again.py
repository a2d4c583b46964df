"""The same alert, with the same beginning, after somebody said that it was over: it fires, and is not lost."""

from datetime import timedelta
from typing import Any

import pytest

from dispatcher.context import Context
from dispatcher.intake.model import Kind
from tests.drafts.desk import Desk
from tests.flow.story import MovableClock
from tests.intake.payloads import alert, alertmanager
from tests.intake.senders import Sender, source
from tests.web.client import Answer, Api

pytestmark = pytest.mark.usefixtures("people")

FIRING, OVER = alertmanager(alert()), alertmanager(alert(firing=False))
PREPARED = {"title": "Payments are slow", "impact": "Some payments take a minute."}
SAID_OVER = "It had been said to be over, and fires with the beginning it had"


def became(answer: Answer) -> str:
    if answer.headers.get("Idempotency-Replayed"):
        return "repeated"
    return str(answer.json.get("became") or answer.json["ignored"])


async def newest(api: Api, sender: Sender) -> dict[str, Any]:
    """What the inspector says of the last event."""
    event: dict[str, Any] = (await api.get(f"/v1/sources/{sender.id}/events")).json["data"][0]
    return event


async def resolve(api: Api, ctx: Context) -> None:
    """A person says that the newest incident is over."""
    row = await ctx.pool.fetchrow(
        "select source, external_id from incident order by id desc limit 1"
    )
    assert row is not None
    body = {
        "source": row["source"],
        "incident": {"external_id": row["external_id"]},
        "status": "resolved",
    }
    assert (await api.update(body)).status == 202


async def test_what_fires_again_with_the_beginning_it_had_opens_what_its_end_had_closed(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    """As when Prometheus was cut off from Alertmanager for a while, which then says that all is over."""
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    first = await sender.send(FIRING, ctx.now())
    clock.move(timedelta(minutes=5))
    nothing = "nobody was told of it, so there is nothing to take back"
    assert became(await sender.send(OVER, ctx.now())) == nothing
    clock.move(timedelta(minutes=5))
    again = await sender.send(FIRING, ctx.now())
    assert became(again) == "draft"
    assert again.json["incident_id"] == first.json["incident_id"]
    assert (await newest(api, sender))["detail"].startswith(SAID_OVER)
    draft = (await api.get(again.json["links"]["draft"])).json
    assert SAID_OVER in draft["note"]
    # Its sender tries again, or repeats it: said before, until it ends again.
    for _ in range(2):
        clock.move(timedelta(minutes=5))
        repeated = await sender.send(FIRING, ctx.now())
        assert (became(repeated), repeated.json["update_id"]) == ("repeated", draft["id"])
    clock.move(timedelta(minutes=5))
    assert became(await sender.send(OVER, ctx.now())) == nothing
    assert (await api.get(again.json["links"]["draft"])).status == 404
    # More than an hour after its end, it is another incident.
    clock.move(timedelta(minutes=61))
    later = await sender.send(FIRING, ctx.now())
    assert (became(later), later.json["incident_id"] != first.json["incident_id"]) == (
        "draft",
        True,
    )


async def test_what_fires_on_after_all_of_its_group_was_said_to_be_over_is_not_lost(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    """A sender of one's own may name each alert alone, as if it were the whole group."""
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    for body in (FIRING, alertmanager(alert("a2"))):
        await sender.send(body, ctx.now())
    clock.move(timedelta(minutes=5))
    over = await sender.send(alertmanager(alert("a2", firing=False)), ctx.now())
    assert became(over) == "nobody was told of it, so there is nothing to take back"
    clock.move(timedelta(minutes=5))
    assert became(await sender.send(FIRING, ctx.now())) == "draft"
    assert (await newest(api, sender))["detail"].startswith(SAID_OVER)


async def test_one_of_a_group_that_fires_again_is_added_to_the_draft_of_what_still_fires(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    both = alertmanager(alert("a1"), alert("a2"))
    half = alertmanager(alert("a1", firing=False), alert("a2"))
    first = await sender.send(both, ctx.now())
    for body in (half, both):
        clock.move(timedelta(minutes=5))
        assert became(await sender.send(body, ctx.now())) == "extended"
    note = (await api.get(first.json["links"]["draft"])).json["note"]
    assert (note.count("Queries of a1"), note.count("Queries of a2")) == (3, 1)


async def test_nothing_goes_out_by_itself_for_an_alert_that_was_said_to_be_over(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    """An old request may come again, and a signature without a time proves its sender for ever."""
    chosen = {"mode": "auto", "component_ids": ["checkout"], "next_update_within": "30min"}
    sender = await source(api, Kind.GRAFANA, **chosen, prepared=PREPARED)
    assert became(await sender.send(FIRING, ctx.now())) == "update"
    clock.move(timedelta(minutes=5))
    over = await sender.send(OVER, ctx.now())
    assert became(over) == "draft"
    desk = await Desk(api, over.json["links"]["draft"]).look()
    assert (await desk.submit()).status == 202
    clock.move(timedelta(hours=2))
    again = await sender.send(FIRING, ctx.now())
    assert (became(again), again.json["state"]) == ("draft", "draft")
    draft = (await api.get(again.json["links"]["draft"])).json
    assert draft["facts"]["title"] == PREPARED["title"]
    assert "Nothing was sent by itself" in draft["note"]
    # One that comes before its own beginning is no better known.
    early = {"fingerprint": "fp-b1", "startsAt": "2026-11-22T15:00:00Z"}
    other = {"group": "another"}
    await sender.send(alertmanager(alert(firing=False) | early, **other), ctx.now())
    clock.move(timedelta(minutes=61))
    late = await sender.send(alertmanager(alert() | early, **other), ctx.now())
    assert (became(late), late.json["state"]) == ("draft", "draft")


async def test_what_still_fires_an_hour_after_a_person_said_that_it_is_over_is_a_draft_once(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    chosen = {"mode": "auto", "component_ids": ["checkout"], "next_update_within": "30min"}
    sender = await source(api, Kind.ALERTMANAGER, **chosen, prepared=PREPARED)
    told = await sender.send(FIRING, ctx.now())
    assert became(told) == "update"
    await resolve(api, ctx)
    said = f"Somebody said at {ctx.now():%Y-%m-%d %H:%M} UTC that it is over"
    clock.move(timedelta(minutes=59))
    assert became(await sender.send(FIRING, ctx.now())) == "repeated"
    waits = await newest(api, sender)
    assert (waits["outcome"], waits["detail"].startswith(said)) == ("repeated", True)
    assert "if it still fires" in waits["detail"]
    clock.move(timedelta(minutes=2))
    still = await sender.send(FIRING, ctx.now())
    assert (became(still), still.json["state"]) == ("draft", "draft")
    assert still.json["incident_id"] != told.json["incident_id"]
    assert (await newest(api, sender))["detail"].startswith(said)
    desk = await Desk(api, still.json["links"]["draft"]).look()
    assert said in (await desk.show())["note"]
    clock.move(timedelta(hours=4))
    assert became(await sender.send(FIRING, ctx.now())) == "repeated"
    # And who decides that it is noise is not asked again.
    assert (await desk.discard("the probe is wrong")).status == 200
    clock.move(timedelta(hours=4))
    assert became(await sender.send(FIRING, ctx.now())) == "repeated"
    assert (await newest(api, sender))["detail"] == "a person discarded the draft of this incident"
    assert (await api.get("/v1/drafts")).json["data"] == []


async def test_a_replay_is_answered_as_it_was_and_does_not_count_as_said(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    first = await sender.send(FIRING, ctx.now())
    clock.move(timedelta(minutes=5))
    await sender.send(OVER, ctx.now())
    clock.move(timedelta(minutes=5))
    path = f"/v1/sources/{sender.id}/events/{first.json['event_id']}/replay"
    replayed = await api.call("POST", path, {})
    assert (became(replayed), replayed.json["update_id"]) == ("repeated", first.json["update_id"])
    assert (await api.get("/v1/drafts")).json["data"] == []
    clock.move(timedelta(minutes=5))
    assert became(await sender.send(FIRING, ctx.now())) == "draft"


async def test_a_replay_does_not_make_the_last_word_about_one_alert_of_a_group_that_goes_on(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    both = alertmanager(alert("a1"), alert("a2"))
    first = await sender.send(both, ctx.now())
    clock.move(timedelta(minutes=5))
    await sender.send(alertmanager(alert("a1", firing=False), alert("a2")), ctx.now())
    clock.move(timedelta(minutes=5))
    path = f"/v1/sources/{sender.id}/events/{first.json['event_id']}/replay"
    assert became(await api.call("POST", path, {})) == "repeated"
    clock.move(timedelta(minutes=5))
    assert became(await sender.send(both, ctx.now())) == "extended"


async def test_what_fired_again_within_the_hour_is_the_same_incident_while_a_draft_says_so(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    """Its sender repeats it for hours, and the group grows: one draft, until a person decides."""
    chosen = {"mode": "auto", "component_ids": ["checkout"], "next_update_within": "30min"}
    sender = await source(api, Kind.ALERTMANAGER, **chosen, prepared=PREPARED)
    told = await sender.send(FIRING, ctx.now())
    assert became(told) == "update"
    await resolve(api, ctx)
    clock.move(timedelta(minutes=30))
    both = alertmanager(alert("a1"), alert("a2"))
    again = await sender.send(both, ctx.now())
    assert (became(again), again.json["incident_id"]) == ("draft", told.json["incident_id"])
    clock.move(timedelta(hours=4))
    repeated = await sender.send(both, ctx.now())
    assert (became(repeated), repeated.json["update_id"]) == ("repeated", again.json["update_id"])
    grown = await sender.send(alertmanager(alert("a1"), alert("a2"), alert("a3")), ctx.now())
    assert (became(grown), grown.json["update_id"]) == ("extended", again.json["update_id"])
    assert len((await api.get("/v1/drafts")).json["data"]) == 1
    # What a person discards is over, as they said before.
    desk = await Desk(api, again.json["links"]["draft"]).look()
    assert (await desk.discard()).status == 200
    later = await sender.send(alertmanager(alert("a4")), ctx.now())
    assert (became(later), later.json["incident_id"] == told.json["incident_id"]) == (
        "update",
        False,
    )
