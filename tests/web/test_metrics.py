"""`/metrics` and `/readyz`: what is counted, who may see it, and what it costs the database."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from channels.model import ChannelKind
from dispatcher.config import Settings
from dispatcher.context import Context
from dispatcher.ids import DeliveryKey
from dispatcher.metrics.weighted import WeightedHistogram
from dispatcher.rules.states import Purpose
from dispatcher.sandbox import RunningSandbox
from dispatcher.senders import sync_senders
from dispatcher.stages import approve, compose, plan
from dispatcher.watch import Lookout, between_looks, look
from dispatcher.watch.sql import QUEUES_SQL
from dispatcher.web.banner.hub import Hub
from dispatcher.web.banner.items import Viewer
from tests.flow.conftest import sandbox
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    plan_out,
    post,
    send_all,
    update,
)
from tests.house.test_operations import documented
from tests.web.client import Api
from tests.web.signing import sendgrid_headers
from tests.web.test_updates import body_of

__all__ = ["sandbox"]

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """One look at the numbers, and what has grown since an earlier one."""

    text: str
    samples: dict[tuple[str, Labels], float]

    def __getitem__(self, asked: tuple[str, dict[str, str]]) -> float:
        name, labels = asked
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def grown(self, before: "Scrape", name: str, **labels: str) -> float:
        return self[name, labels] - before[name, labels]


def read(text: str) -> Scrape:
    return Scrape(
        text,
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        },
    )


async def scrape(api: Api) -> Scrape:
    answer = await api.get("/metrics")
    assert answer.status == 200
    return read(answer.body.decode())


@pytest.fixture
def web_settings(web_settings: Settings, sandbox: RunningSandbox) -> Settings:
    """With providers that answer."""
    keys = sandbox.settings
    mail = {"base_url": sandbox.sendgrid_url, "api_key": keys.sendgrid_api_key}
    texts = {
        "base_url": sandbox.twilio_url,
        "account_sid": keys.twilio_account_sid,
        "auth_token": keys.twilio_auth_token,
    }
    return web_settings.model_copy(
        update={
            "sendgrid": web_settings.sendgrid.model_copy(update=mail),
            "twilio": web_settings.twilio.model_copy(update=texts),
        }
    )


@pytest.fixture
async def senders(ctx: Context) -> None:
    async with ctx.pool.acquire() as conn:
        await sync_senders(conn, ctx, now=ctx.now(), decide=True)


async def receipts_for(api: Api, ctx: Context, update_id: int) -> None:
    """SendGrid says that every mail of the update has arrived."""
    rows = await ctx.pool.fetch(
        "select endpoint_id from delivery where update_id = $1 and channel = 1", update_id
    )
    keys = [
        ctx.signer.delivery_key(DeliveryKey(update_id, 1, row["endpoint_id"], Purpose.NOTICE, 1))
        for row in rows
    ]
    events = [
        {"event": "delivered", "tidings": key, "timestamp": 1763800000, "sg_message_id": "m1.x"}
        for key in keys
    ]
    raw = orjson.dumps(events)
    answer = await api.call("POST", "/v1/receipts/sendgrid", raw=raw, headers=sendgrid_headers(raw))
    assert answer.status == 204
    await apply_receipts(ctx)


@pytest.mark.usefixtures("people", "senders")
async def test_an_update_is_counted_from_the_door_to_the_proof_and_names_nobody(
    api: Api, anonymous: Api, ctx: Context
) -> None:
    before = await scrape(anonymous)
    taken = (await api.update(body_of(ctx))).json
    await api.update(body_of(ctx))
    await api.update(body_of(ctx, source="Jane <jane@example.com>"), key="k2")
    update_id = ctx.signer.read_public_id("upd", taken["update_id"])
    for stage in (compose, approve, plan):
        await stage.run(ctx, update_id)
    await send_all(ctx)
    await receipts_for(anonymous, ctx, update_id)
    after = await scrape(anonymous)

    def grown(name: str, **labels: str) -> float:
        return after.grown(before, name, **labels)

    assert grown("tidings_updates_total", source="monitoring", outcome="accepted") == 1
    assert grown("tidings_updates_total", source="monitoring", outcome="replayed") == 1
    assert grown("tidings_updates_total", source="other", outcome="accepted") == 1
    assert grown("tidings_provider_request_seconds_count", provider="sendgrid", code="202") == 2
    assert grown("tidings_provider_request_seconds_count", provider="twilio", code="201") == 2
    assert grown("tidings_deliveries_total", channel="email", status="accepted") == 2
    assert grown("tidings_deliveries_total", channel="email", status="delivered") == 2
    assert grown("tidings_receipts_total", provider="sendgrid") == 2
    for segment in ("smb", "enterprise"):
        assert grown("tidings_time_to_notify_seconds_count", channel="sms", segment=segment) == 1
    assert grown("tidings_rate_limit_wait_seconds_count", channel="sms") >= 1
    assert grown("tidings_deadline_missed_total", segment="smb") == 0
    for name, labels in after.samples:
        if name.startswith("tidings_") and not name.endswith("_created"):
            family = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            assert {key for key, _ in labels} - {"le"} == documented()[family], name
    assert "@" not in after.text
    assert "+1" not in after.text


@pytest.mark.usefixtures("people", "senders")
async def test_first_notices_that_leave_after_their_promise_are_counted(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    before = await scrape(anonymous)
    promised = (ctx.now() + timedelta(hours=5)).isoformat()
    await plan_out(ctx, await post(ctx, update(ctx, facts={"next_update_by": promised})))
    clock.move(timedelta(hours=4, minutes=1))  # P1 promises four hours, a mail may leave for eight
    await send_all(ctx)
    after = await scrape(anonymous)
    assert after.grown(before, "tidings_deadline_missed_total", segment="smb") == 1
    late = {"channel": "email", "segment": "smb", "le": "3600.0"}
    assert after.grown(before, "tidings_time_to_notify_seconds_bucket", **late) == 0


async def test_what_is_refused_is_counted_by_door_and_problem(
    api: Api, anonymous: Api, ctx: Context
) -> None:
    before = await scrape(anonymous)
    await anonymous.update(body_of(ctx))
    await api.update({"source": "x"})
    for provider in ("sendgrid", "someone@example.com"):
        await anonymous.call("POST", f"/v1/receipts/{provider}", raw=b"[]")
    await anonymous.get("/v1/nothing")
    after = await scrape(anonymous)
    refused = {
        key: value - before.samples.get(key, 0)
        for key, value in after.samples.items()
        if key[0] == "tidings_intake_rejected_total" and value > before.samples.get(key, 0)
    }
    assert {(dict(labels)["source"], dict(labels)["reason"]) for _, labels in refused} == {
        ("api", "key-missing"),
        ("api", "invalid-request"),
        ("sendgrid", "malformed-receipt"),
        ("other", "not-found"),
    }


async def test_open_streams_are_a_number_that_goes_down_again(anonymous: Api, ctx: Context) -> None:
    before = await scrape(anonymous)
    viewer = Viewer(1, "small", "smb", "en", None)
    async with Hub(ctx).subscription(viewer, ("small", "user-1")):
        assert (await scrape(anonymous)).grown(before, "tidings_banner_streams") == 1
    assert (await scrape(anonymous)).grown(before, "tidings_banner_streams") == 0


@pytest.mark.usefixtures("people", "senders")
async def test_the_facts_of_the_database_are_what_waits_now(
    ctx: Context, clock: MovableClock
) -> None:
    await plan_out(ctx, await post(ctx, update(ctx)))
    await ctx.pool.execute(
        "update sender set paused_until = $1, paused_why = 'account_problem' where channel = 2",
        ctx.now() + timedelta(hours=1),
    )
    await ctx.pool.execute(
        "insert into receipt_batch (provider, received_at, tries, receipts)"
        " values ('x', $1, 0, '[]'), ('x', $1, 5, '[]')",
        ctx.now(),
    )
    clock.move(timedelta(minutes=20))
    async with ctx.pool.acquire() as conn:
        facts = await look(conn, ctx.settings, now=ctx.now())
        queues = {
            kind.value: (queue.deliveries, queue.oldest_s) for kind, queue in facts.queues.items()
        }
        assert queues == {"email": (2, 1200), "sms": (2, 1200), "social": (0, 0)}
        assert {state.name: n for state, n in facts.slices.items() if n} == {"WAITING": 4}
        assert (facts.unread_s, facts.stuck, facts.planning_s) == (1200, 1, 0)
        assert {kind.value: rest.why for kind, rest in facts.resting.items()} == {
            "sms": "account_problem"
        }
        assert facts.tokens[ChannelKind.EMAIL] == 20_000
        await conn.execute("update dispatch set paused_at = $1", ctx.now())
        held = await look(conn, ctx.settings, now=ctx.now())
        assert (held.oldest_s, held.queues[ChannelKind.EMAIL].deliveries) == (0, 2)
    await post(ctx, update(ctx, incident={"external_id": "INC-43"}))
    clock.move(timedelta(minutes=5))
    async with ctx.pool.acquire() as conn:
        assert (await look(conn, ctx.settings, now=ctx.now())).planning_s == 300


class SteppedClock(MovableClock):
    """Intervals too are under the test's hand."""

    passed = 0.0

    def monotonic(self) -> float:
        return self.passed


async def test_one_look_serves_all_who_ask_for_a_while(ctx: Context) -> None:
    clock = SteppedClock(datetime.now(UTC))
    lookout = Lookout(replace(ctx, clock=clock))
    first = await asyncio.gather(*(lookout.facts() for _ in range(20)))
    assert first[0] is not None
    assert {id(facts) for facts in first} == {id(first[0])}
    clock.passed = between_looks(ctx.settings) - 0.1
    assert await lookout.facts() is first[0]
    clock.passed = between_looks(ctx.settings)
    assert await lookout.facts() is not first[0]


@pytest.mark.usefixtures("people")
async def test_a_look_reads_no_slice_that_is_over(ctx: Context) -> None:
    await plan_out(ctx, await post(ctx, update(ctx)))
    await ctx.pool.execute(
        """insert into slice (update_id, incident_id, dispatch_id, channel, purpose, lane, state, n,
                              not_before, expires_at, endpoint_ids, n_by_status)
           select s.update_id, s.incident_id, s.dispatch_id, s.channel, s.purpose, s.lane, 4, s.n,
                  s.not_before, s.expires_at, s.endpoint_ids, s.n_by_status
           from (select * from slice limit 1) s, generate_series(1, 5000)"""
    )
    await ctx.pool.execute("analyze slice")
    rows = await ctx.pool.fetch(f"explain {QUEUES_SQL}", ctx.now())
    lines = "\n".join(row[0] for row in rows)
    assert "Seq Scan on slice" not in lines, lines
    assert "slice_waiting" in lines
    assert "slice_moving" in lines


async def test_without_the_database_the_process_still_tells_its_own_numbers(
    anonymous: Api, ctx: Context
) -> None:
    await ctx.pool.close()
    lost = await scrape(anonymous)
    assert lost["tidings_database_up", {}] == 0
    assert ("tidings_workers", frozenset()) not in lost.samples
    assert lost["process_resident_memory_bytes", {}] > 0


async def test_openmetrics_is_spoken_to_who_asks_for_it(anonymous: Api) -> None:
    answer = await anonymous.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")


@pytest.mark.usefixtures("people", "senders")
async def test_a_queue_that_is_stuck_is_told_and_turns_nobody_away(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    await ctx.pool.execute(
        "insert into worker (id, host, pid, started_at, seen_at)"
        " values (gen_random_uuid(), 'h', 1, clock_timestamp(), clock_timestamp())"
    )
    await plan_out(ctx, await post(ctx, update(ctx)))
    await ctx.pool.execute("insert into migration select 99, 'later', '', now()")
    clock.move(timedelta(minutes=20))
    ready = await anonymous.get("/readyz")
    checks = ready.json["checks"]
    assert (ready.status, ready.json["status"]) == (200, "degraded")
    assert "what is due has waited 1200 s" in checks["queue"]
    assert "start the newer Tidings" in checks["migrations"]
    assert {name for name, reason in checks.items() if reason != "ok"} == {"queue", "migrations"}


@given(st.lists(st.tuples(st.floats(0, 5000), st.integers(1, 1000)), max_size=20))
def test_a_weighted_histogram_counts_as_the_plain_one_does(
    observed: list[tuple[float, int]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bounds = (5, 30, 300, 3600)
    weighted = WeightedHistogram("seconds", "Seconds.", ("of",), bounds, registry=ours)
    plain = Histogram("seconds", "Seconds.", ["of"], buckets=bounds, registry=theirs)
    for value, times in observed:
        weighted.observe(value, times, "x")
        for _ in range(times):
            plain.labels("x").observe(value)
    mine, wanted = read(generate_latest(ours).decode()), read(generate_latest(theirs).decode())
    assert {key[0] for key in mine.samples} <= {key[0] for key in wanted.samples}
    for key, value in mine.samples.items():
        assert value == pytest.approx(wanted.samples[key])
    assert bool(observed) == bool(mine.samples)
