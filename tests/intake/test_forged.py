"""Forged, replayed, truncated and repeated requests do no harm."""

import asyncio
import hashlib
import hmac
from datetime import timedelta

import orjson
import pytest

from dispatcher.clocks.maintenance import maintain
from dispatcher.context import Context
from dispatcher.intake.events import REMEMBERED_FOR
from dispatcher.intake.model import Kind
from tests.flow.story import MovableClock
from tests.intake.payloads import (
    alert,
    alertmanager,
    native,
    of_every_kind,
    own_webhook,
    pagerduty_status_update,
)
from tests.intake.senders import Sender, proof, source
from tests.web.client import Api

pytestmark = pytest.mark.usefixtures("people")

SIGNED_WITH_TIME = (Kind.INCIDENTIO, Kind.STANDARD_WEBHOOKS)


async def nothing_came_of_it(ctx: Context) -> bool:
    return not await ctx.pool.fetchval(
        "select exists (select from incident) or exists (select from intake_said)"
    )


async def test_forged_altered_and_cut_requests_are_refused_so_that_nothing_comes_of_them(
    api: Api, ctx: Context
) -> None:
    for kind in Kind:
        await forged_altered_and_cut(api, ctx, await source(api, kind, component_ids=["checkout"]))
    assert await nothing_came_of_it(ctx)


async def forged_altered_and_cut(api: Api, ctx: Context, sender: Sender) -> None:
    kind = sender.kind
    body = orjson.dumps(of_every_kind()[kind][0])
    good = dict(proof(kind, sender.secret, body, ctx.now(), "msg_1"))
    wrong = dict(proof(kind, "whsec_" + "A" * 44, body, ctx.now(), "msg_1"))
    anybody = api.bearing(None)
    path = sender.path
    if kind is Kind.STATUSPAGE:
        path = f"/v1/intake/{sender.id}"
        wrong_paths = [path, f"{path}/{sender.secret[:-1]}", f"{path}/%00", f"{path}/x%FF"]
        answers = [await anybody.call("POST", one, raw=body) for one in wrong_paths]
        assert [(item.status, item.kind) for item in answers[:2]] == [(403, "forged-event")] * 2
        assert {item.status for item in answers} <= {403, 404, 400}
    else:
        for headers in (wrong, {}, dict.fromkeys(good, ""), dict.fromkeys(good, "☃")):
            answer = await anybody.call("POST", path, raw=body, headers=headers)
            assert (answer.status, answer.kind) == (403, "forged-event"), (kind, headers)
        if "Authorization" not in good:
            for changed in (body[:-1], body + b" ", b""):
                answer = await anybody.call("POST", path, raw=changed, headers=good)
                assert (answer.status, answer.kind) == (403, "forged-event"), kind
    cut = body[: len(body) // 2]
    answer = await sender.send(cut, ctx.now())
    assert (answer.status, answer.kind) == (400, "malformed-event")
    assert answer.json["errors"] == [{"pointer": "", "code": "malformed", "detail": "is not JSON"}]
    assert answer.json["detail"] == "the body: is not JSON"


async def test_an_old_request_is_a_forged_one_however_well_it_is_signed(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    for kind in SIGNED_WITH_TIME:
        sender = await source(api, kind, component_ids=["checkout"])
        body = of_every_kind()[kind][0]
        written = ctx.now()
        clock.move(timedelta(minutes=5, seconds=1))
        late = await sender.send(body, written)
        early = await sender.send(body, ctx.now() + timedelta(minutes=6))
        assert [late.kind, early.kind] == ["forged-event"] * 2, kind
        clock.move(-timedelta(seconds=2))
        assert (await sender.send(body, written)).status == 202
    assert await ctx.pool.fetchval("select count(*) from incident") == len(SIGNED_WITH_TIME)


async def test_what_customers_were_told_is_not_told_again_however_late_it_is_replayed(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    """PagerDuty signs no time: what was caught on its way is good for ever."""
    auto = {"mode": "auto", "trust_titles": True, "next_update_within": "1h"}
    sender = await source(api, Kind.PAGERDUTY, component_ids=["checkout"], **auto)
    first = await sender.send(pagerduty_status_update(), ctx.now())
    assert first.json["state"] == "dispatching", first.body
    clock.move(REMEMBERED_FOR + timedelta(days=1))
    await maintain(ctx)
    again = await sender.send(pagerduty_status_update(), ctx.now())
    assert again.headers.get("Idempotency-Replayed") == "true"
    assert again.json["update_id"] == first.json["update_id"]
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 1


async def test_words_that_are_too_long_wait_for_a_person_and_no_older_ones_go_in_their_place(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.STANDARD_WEBHOOKS, mode="auto")
    first = await sender.send(own_webhook(), ctx.now())
    assert first.json["became"] == "update"
    words = "Orders of today are lost. " * 50
    long = own_webhook(data=native(body=words), timestamp="2026-11-22T14:30:00Z")
    kept = await sender.send(long, ctx.now(), "msg_2")
    assert (kept.json["became"], kept.json["missing"]) == ("draft", ["impact"])
    note = (await api.get(kept.json["links"]["draft"])).json["note"]
    assert words.strip() in note
    assert await ctx.pool.fetchval("select count(*) from dispatch") == 1


async def test_a_request_that_comes_many_times_at_once_counts_once(api: Api, ctx: Context) -> None:
    for kind in Kind:
        sender = await source(api, kind, component_ids=["checkout"])
        body = of_every_kind()[kind][0]
        answers = await asyncio.gather(*(sender.send(body, ctx.now()) for _ in range(6)))
        assert [item.status for item in answers] == [202] * 6, kind
        assert len({item.json["update_id"] for item in answers}) == 1, kind
        assert sum("Idempotency-Replayed" in item.headers for item in answers) == 5
    assert await ctx.pool.fetchval("select count(*) from incident_update") == len(Kind)


async def test_alerts_of_one_group_that_come_at_once_make_one_incident(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.ALERTMANAGER, component_ids=["checkout"])
    bodies = [alertmanager(alert(f"a{number}")) for number in range(6)]
    answers = await asyncio.gather(*(sender.send(body, ctx.now()) for body in bodies))
    assert len({item.json["incident_id"] for item in answers}) == 1
    assert len({item.json["update_id"] for item in answers}) == 1


async def test_grafana_may_sign_the_time_too_and_then_it_counts(api: Api, ctx: Context) -> None:
    sender = await source(api, Kind.GRAFANA, component_ids=["checkout"])
    raw = orjson.dumps(of_every_kind()[Kind.GRAFANA][0])
    now = int(ctx.now().timestamp())

    def signed(at: int, name: str) -> dict[str, str]:
        text = f"{at}:".encode() + raw
        right = hmac.new(sender.secret.encode(), text, hashlib.sha256).hexdigest()
        return {"X-Grafana-Alerting-Signature": right, name: str(at)}

    for name in ("X-Grafana-Alerting-Signature-Timestamp", "X-Grafana-Alerting-Timestamp"):
        old = signed(now - 301, name)
        assert (await sender.send(raw, ctx.now(), **old)).status == 403
        del old[name]
        assert (await sender.send(raw, ctx.now(), **old)).status == 403
        assert (await sender.send(raw, ctx.now(), **signed(now, name))).status == 202
    bearer = {"Authorization": f"Bearer {sender.secret}"}
    older = await api.bearing(None).call("POST", sender.path, raw=raw, headers=bearer)
    assert older.headers["Idempotency-Replayed"] == "true"


async def test_grafana_may_use_headers_of_its_own_and_then_the_time_must_be_there(
    api: Api, ctx: Context
) -> None:
    chosen = {"signature_header": "X-Sig", "timestamp_header": "X-Sig-Time"}
    sender = await source(api, Kind.GRAFANA, component_ids=["checkout"], **chosen)
    raw = orjson.dumps(of_every_kind()[Kind.GRAFANA][0])

    def signed(text: bytes) -> str:
        return hmac.new(sender.secret.encode(), text, hashlib.sha256).hexdigest()

    async def answered(**headers: str) -> int:
        return (await api.bearing(None).call("POST", sender.path, raw=raw, headers=headers)).status

    now = int(ctx.now().timestamp())
    right = {"X-Sig": signed(f"{now}:".encode() + raw), "X-Sig-Time": str(now)}
    old = {"X-Sig": signed(f"{now - 301}:".encode() + raw), "X-Sig-Time": str(now - 301)}
    timeless = {"X-Sig": signed(raw)}
    usual = {"X-Grafana-Alerting-Signature": signed(raw)}
    assert [await answered(**one) for one in (old, timeless, usual, right)] == [403, 403, 403, 202]
    assert await answered(Authorization=f"Bearer {sender.secret}") == 202
    wrong = await api.call("POST", "/v1/sources", {"kind": "opsgenie", "name": "x", **chosen})
    assert [item["pointer"] for item in wrong.json["errors"]] == [
        "/signature_header",
        "/timestamp_header",
    ]


async def test_the_door_of_an_unknown_source_and_a_compressed_or_huge_body_are_refused(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.ALERTMANAGER)
    unknown = await api.call("POST", f"/v1/intake/{ctx.signer.public_id('src', 999)}", {})
    guessed = await api.call("POST", "/v1/intake/src_aaaa", {})
    packed = await sender.send(b"{}", ctx.now(), **{"Content-Encoding": "gzip"})
    huge = await sender.send(b" " * (1024 * 1024 + 1), ctx.now())
    assert [item.status for item in (unknown, guessed, packed, huge)] == [404, 404, 415, 413]


async def test_a_disabled_source_is_told_so_and_only_if_it_is_the_right_one(
    api: Api, ctx: Context
) -> None:
    sender = await source(api, Kind.PAGERDUTY)
    disabled = await api.patch(f"/v1/sources/{sender.id}", {"disabled": True})
    assert disabled.json["disabled"] is True
    body = of_every_kind()[Kind.PAGERDUTY][0]
    answer = await sender.send(body, ctx.now())
    forged = await api.call("POST", sender.path, body)
    assert [answer.kind, forged.kind] == ["source-disabled", "forged-event"]
    assert await nothing_came_of_it(ctx)
    await api.patch(f"/v1/sources/{sender.id}", {"disabled": False})
    assert (await sender.send(body, ctx.now())).status == 202
