"""The inspector: what came in, what it became, without anybody's secrets or addresses; and replay."""

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from dispatcher.clocks.maintenance import maintain
from dispatcher.context import Context
from dispatcher.intake import events
from dispatcher.intake.masks import masked_body, shortened
from dispatcher.intake.model import Kind
from tests.flow.story import MovableClock
from tests.intake.payloads import (
    OPENED,
    RESOLVED,
    alert,
    alertmanager,
    opsgenie,
    pagerduty,
    statuspage,
)
from tests.intake.senders import Sender, source
from tests.web.client import Answer, Api

pytestmark = pytest.mark.usefixtures("people")


async def seen(api: Api, sender: Sender) -> list[dict[str, Any]]:
    answer = await api.get(f"/v1/sources/{sender.id}/events")
    assert answer.status == 200, answer.body
    data: list[dict[str, Any]] = answer.json["data"]
    return data


async def replay(api: Api, sender: Sender, event: str, **body: Any) -> Answer:
    return await api.call(
        "POST",
        f"/v1/sources/{sender.id}/events/{event}/replay",
        body or None,
        raw=None if body else b"{}",
        headers={"Content-Type": "application/json"},
    )


async def test_every_event_is_there_with_what_became_of_it(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    sender = await source(api, Kind.PAGERDUTY, component_ids=["checkout"])
    taken = await sender.send(pagerduty(), ctx.now())
    await sender.send(pagerduty(), ctx.now())
    await sender.send(pagerduty("incident.annotated"), ctx.now())
    await sender.send({"event": {"event_type": 7}}, ctx.now())
    clock.move(timedelta(seconds=1))
    await sender.send(pagerduty(), ctx.now(), **{"X-PagerDuty-Signature": "v1=00"})
    found = await seen(api, sender)
    assert [event["outcome"] for event in found] == [
        "forged",
        "malformed",
        "ignored",
        "repeated",
        "taken",
    ]
    assert found[0]["payload"] is None
    assert found[1]["detail"] == "/event/event_type: must be a text"
    assert "incident.annotated" in found[2]["detail"]
    for event in found[3:]:
        assert (event["became"], event["update_id"]) == ("draft", taken.json["update_id"])
    assert found[4]["id"] == taken.json["event_id"]
    assert found[4]["payload"]["event"]["event_type"] == "incident.triggered"
    # That of who proved to be it: a forgery is no sign of life.
    assert (await api.get(f"/v1/sources/{sender.id}")).json["last_event_at"] == found[1]["at"]


async def test_nobody_floods_the_inspector_with_forgeries(api: Api, ctx: Context) -> None:
    sender = await source(api, Kind.PAGERDUTY)
    for _ in range(5):
        await sender.send(pagerduty(), ctx.now(), **{"X-PagerDuty-Signature": "v1=00"})
    assert len(await seen(api, sender)) == 1


async def test_secrets_and_personal_data_are_masked_and_the_payload_is_sealed(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.OPSGENIE)
    body = opsgenie(
        description="Call (202) 555-0199 or +49 30 901820, mail Ada.Operator+x@example.co.uk",
        details={"apiKey": "hunter22", "Phone": "2025550199", "token": 4711},
        tags=["bearer abcdefgh12345678", "https://u:pass@db.example.com/"],
        people={"mail:grace@example.com": 1},
        secrets=["in-a-list"],
        credentials={"user": "u", "pw": ["in-an-object"]},
        phones=["030 901821", 493012345],
        variables=[{"name": "DB_PASSWORD", "value": "in-a-pair"}],
        private_key="in-a-key",
        url="https://h.example.com/?api_key=in-a-link&to=joan%40example.com#access_token=in-an-end",
    )
    await sender.send(body, ctx.now())
    answer = await api.get(f"/v1/sources/{sender.id}/events")
    secrets = [b"hunter22", b"555-0199", b"2025550199", b"901820", b"Ada.Operator", b"4711"]
    secrets += [b"abcdefgh1234", b":pass@", b"ada@", b"grace@", sender.secret.encode()]
    secrets += [b"in-a", b"901821", b"493012345", b"joan"]
    assert [text for text in secrets if text in answer.body] == []
    assert b"checkout-db-7" in answer.body
    stored = await ctx.pool.fetchval("select sealed from intake_event")
    assert b"alert" not in stored
    notes = await ctx.pool.fetchval("select note from incident_update")
    assert "Ada.Operator" not in notes
    assert "555-0199" not in notes


async def test_the_secret_in_the_address_of_a_source_is_in_no_log_and_no_answer(
    api: Api, ctx: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await source(api, Kind.STATUSPAGE)
    old, path = made.secret, made.path
    rotated = await api.call("POST", f"/v1/sources/{made.id}/rotate", {"overlap_hours": 0})
    sender = Sender(
        api, made.kind, made.id, path.replace(old, rotated.json["secret"]), rotated.json["secret"]
    )
    answers = [
        await sender.send(statuspage(), ctx.now()),
        await sender.send(b"[", ctx.now()),
        await sender.send(b" " * (1024 * 1024 + 1), ctx.now()),
        await sender.send(b"", ctx.now(), **{"Content-Encoding": "gzip"}),
        await made.send(statuspage(), ctx.now()),
        await api.call("PUT", sender.path),
        await api.get(sender.path),
        await api.get(f"/v1/sources/{made.id}/events"),
    ]
    assert [item.status for item in answers] == [202, 400, 413, 415, 403, 405, 405, 200]
    written = "".join(capsys.readouterr())
    assert written.count("route=/v1/intake/{source_id}/{secret}") == 5
    for text in (old, rotated.json["secret"]):
        assert text not in written
        assert not [item for item in answers if text.encode() in item.body]
    # Nor is the address by which anybody could unsubscribe us from the page.
    event = answers[-1].json["data"][-1]
    assert event["payload"]["meta"]["unsubscribe"] == "[secret]"


async def test_what_a_label_says_of_a_secret_does_not_stand_in_the_note_of_a_draft(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.ALERTMANAGER)
    told = alert("a1", db_password="in-a-label", shard="eu-1")
    told["annotations"]["summary"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is wrong"
    await sender.send(alertmanager(told), ctx.now())
    note = await ctx.pool.fetchval("select note from incident_update")
    assert "instance=db-a1, db_password=[secret], shard=eu-1" in note
    assert "[secret] is wrong" in note


def test_who_did_it_is_not_named() -> None:
    """As PagerDuty, incident.io and Opsgenie write people; things keep their names."""
    payload = {
        "event": {"agent": {"summary": "Ada Lovelace", "id": "P1", "type": "user_reference"}},
        "data": {
            "title": "Checkout fails",
            "service": {"summary": "Checkout"},
            "assignees": [{"summary": "Ada Lovelace"}],
            "assigned_to": "Ada Lovelace",
        },
        "creator": {"user": {"name": "Ada Lovelace", "role": "responder"}},
        "alert": {"username": "Ada Lovelace", "userId": "u-1", "owner": "Ada Lovelace"},
        "acknowledged_by": ["Ada Lovelace"],
    }
    shown = masked_body(orjson.dumps(payload))
    assert "Ada" not in shown
    for kept in ("Checkout fails", '"Checkout"', "P1", "user_reference", "responder", "u-1"):
        assert kept in shown


@pytest.mark.parametrize("before", range(980, 1020, 3))
def test_what_is_cut_leaves_no_part_of_an_address_behind(before: int) -> None:
    text = "x " * (before // 2) + "ada.operator@customer.example and +49 30 90182099 " * 40
    shown = masked_body(orjson.dumps({"text": text}))
    assert len(shown) < 1100
    for part in ("ada", "operator", "customer", "+49", "9018"):
        assert part not in shown
    assert shortened("short: a@b.example", 500) == "short: [email]"


async def test_a_replay_changes_nothing_that_was_done_and_does_what_was_not(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.STATUSPAGE, mode="auto", next_update_within="1h")
    first = await sender.send(statuspage(), ctx.now())
    assert first.json["missing"] == ["component_ids"]
    again = await replay(api, sender, first.json["event_id"])
    assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert again.json["update_id"] == first.json["update_id"]
    fixed = {"components": {"Shop": "checkout"}}
    await api.patch(f"/v1/sources/{sender.id}", fixed)
    forced = await replay(api, sender, first.json["event_id"], force=True)
    assert (forced.json["became"], forced.json["state"]) == ("update", "dispatching")
    assert forced.json["incident_id"] == first.json["incident_id"]
    events_seen = await seen(api, sender)
    assert [event["replay_of"] for event in events_seen] == [first.json["event_id"]] * 2 + [None]
    actors = await ctx.pool.fetch(
        "select actor from audit where action = 'update.intake' order by id"
    )
    assert [row["actor"].partition(":")[0] for row in actors] == ["source", "key"]


async def test_an_event_that_was_refused_is_taken_when_the_source_has_been_mended(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY, audience={"account_ids": ["big"]})
    await ctx.pool.execute("update account set removed_at = now() where external_id = 'big'")
    assert (await sender.send(pagerduty(), ctx.now())).status == 422
    (event,) = await seen(api, sender)
    assert (event["outcome"], event["became"]) == ("refused", None)
    assert (await replay(api, sender, event["id"])).status == 422
    await api.patch(f"/v1/sources/{sender.id}", {"audience": None})
    first = await replay(api, sender, event["id"])
    assert first.json["became"] == "draft"
    # Twice is once, by which of its events ever.
    for number in (event["id"], first.json["event_id"]):
        again = await replay(api, sender, number)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json["update_id"] == first.json["update_id"]
    assert await ctx.pool.fetchval("select count(*) from incident_update") == 1


async def test_a_forced_replay_of_an_old_history_sends_no_more_than_it_says(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.STATUSPAGE, component_ids=["checkout"])
    await sender.send(statuspage(OPENED), ctx.now())
    last = await sender.send(statuspage(OPENED, RESOLVED), ctx.now())
    forced = await replay(api, sender, last.json["event_id"], force=True)
    assert forced.json["update_id"] != last.json["update_id"]
    assert await ctx.pool.fetchval("select count(*) from incident_update") == 3


async def test_what_nobody_proved_or_what_is_of_another_source_cannot_be_replayed(
    api: Api, ctx: Context
) -> None:
    one = await source(api, Kind.PAGERDUTY)
    other = await source(api, Kind.OPSGENIE)
    await one.send(pagerduty(), ctx.now(), **{"X-PagerDuty-Signature": "v1=00"})
    (forged,) = await seen(api, one)
    assert (await replay(api, one, forged["id"])).kind == "event-not-kept"
    taken = await one.send(pagerduty(), ctx.now())
    assert (await replay(api, other, taken.json["event_id"])).status == 404
    assert (await replay(api, one, "evt_none")).status == 404
    gone = ctx.signer.public_id("evt", 10**6)
    assert (await replay(api, one, gone)).status == 404


async def test_events_are_listed_page_by_page(api: Api, ctx: Context) -> None:
    sender = await source(api, Kind.ALERTMANAGER)
    for number in range(5):
        await sender.send(alertmanager(alert(f"a{number}")), ctx.now())
    path = f"/v1/sources/{sender.id}/events?limit=2"
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(path + cursor)).json
        found += [event["id"] for event in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == [event["id"] for event in await seen(api, sender)]
    assert len(found) == 5


async def test_a_hundred_events_of_a_source_are_kept_and_none_for_longer_than_a_week(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    busy, quiet = await source(api, Kind.ALERTMANAGER), await source(api, Kind.PAGERDUTY)
    began = ctx.now()
    await quiet.send(pagerduty(), began)
    await busy.send(alertmanager(), began)
    over = alertmanager(alert("a1", firing=False), alert("a2", firing=False))
    await busy.send(over, began)
    await ctx.pool.execute(
        """insert into intake_event (source_id, at, outcome)
           select source_id, at, 'ignored' from intake_event, generate_series(1, 120)
           where source_id = $1""",
        ctx.signer.read_public_id("src", busy.id),
    )
    counts = "select count(*) from intake_event group by source_id order by 1"
    # Not only when somebody tidies up: a flood has no room to begin with.
    await busy.send(over, ctx.now())
    assert [row[0] for row in await ctx.pool.fetch(counts)] == [1, events.KEPT_EVENTS]
    clock.move(events.KEPT_FOR - timedelta(hours=1))
    await maintain(ctx)
    assert await ctx.pool.fetchval("select count(*) from intake_event") == 101
    clock.move(timedelta(hours=2))
    await maintain(ctx)
    assert await ctx.pool.fetchval("select count(*) from intake_event") == 0
    heard = (await api.get(f"/v1/sources/{quiet.id}")).json["last_event_at"]
    assert datetime.fromisoformat(heard) == began
    # What was said is remembered for longer than how it was said.
    again = await quiet.send(pagerduty(), ctx.now())
    assert again.headers["Idempotency-Replayed"] == "true"
    clock.move(events.REMEMBERED_FOR + timedelta(hours=1))
    await maintain(ctx)
    assert await ctx.pool.fetchval("select count(*) from intake_said") == 0
    assert await ctx.pool.fetchval("select count(*) from intake_group") == 0
