"""Every stop is told in the same words by readiness, metrics and doctor; a moment before it is none."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispatcher.cli.doctor import examine
from dispatcher.cli.finding import Mark
from dispatcher.config import CanarySettings, Settings
from dispatcher.context import Context
from dispatcher.db import open_session
from dispatcher.senders import sync_senders
from dispatcher.watch import Check, State, look, standing
from tests.flow.story import MovableClock, eventually, plan_out, post, update
from tests.profiles import BRISK
from tests.web.client import Api
from tests.web.test_metrics import scrape

ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(
        (Path(__file__).parents[2] / "docs" / "operations" / "alerts.yml").read_text("utf-8")
    )["groups"]
    for rule in group["rules"]
]
# Alerts that were there before all checks were a metric ask for their own.
METRIC_OF = {
    "workers": "tidings_workers",
    "queue": "tidings_oldest_queued_age_seconds",
    "planning": "tidings_planning_age_seconds",
    "receipts": "tidings_unread_receipts_age_seconds",
    "stuck receipts": "tidings_receipts_stuck",
    "listener": "tidings_banner_listening",
}
Made = Callable[[Context, float], Awaitable[None]]


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    """With a rhythm in which a look is soon old, and the window of doubt as in operation."""
    rhythm = BRISK.model_copy(update={"heartbeat_s": 0.02, "reconcile_window_s": 120})
    canary = CanarySettings(email="canary@example.com")
    return web_settings.model_copy(update={"worker": rhythm, "canary": canary})


@pytest.fixture
async def well(ctx: Context, people: None) -> Context:  # noqa: ARG001 - they are told
    """An update that is planned, a worker, and nothing that stands still."""
    async with ctx.pool.acquire() as conn:
        await sync_senders(conn, ctx, now=ctx.now(), decide=True)
        await conn.execute(
            """insert into worker (id, host, pid, started_at, seen_at, consumers, linked)
               values (gen_random_uuid(), 'h', 1, clock_timestamp(), clock_timestamp(), 9, 9)"""
        )
    await plan_out(ctx, await post(ctx, update(ctx)))
    return ctx


def since(statement: str) -> Made:
    """A state of the database that began at $1, by our clock."""

    async def make(ctx: Context, seconds: float) -> None:
        await ctx.pool.execute(statement, ctx.now() - timedelta(seconds=seconds))

    return make


def ago(statement: str) -> Made:
    """A state of the database that began $1 seconds ago, by the clock of the database."""

    async def make(ctx: Context, seconds: float) -> None:
        await ctx.pool.execute(statement, seconds)

    return make


def now(statement: str) -> Made:
    """A state of the database that is a stop from its first moment on."""

    async def make(ctx: Context, _seconds: float) -> None:
        await ctx.pool.execute(statement)

    return make


async def planning(ctx: Context, seconds: float) -> None:
    began = ctx.now() - timedelta(seconds=seconds)
    accepted = await post(ctx, update(ctx, incident={"external_id": "INC-50"}))
    await ctx.pool.execute(
        "update dispatch set created_at = $2 where id = $1", accepted.dispatch_id, began
    )


async def unworded(ctx: Context, seconds: float) -> None:
    await planning(ctx, seconds)
    await ctx.pool.execute("update incident_update set state = 'failed' where state = 'accepted'")


_SENT = """update slice set state = 4, intent_at = $1, ended_at = $1,
                  n_by_status = array[0, 0, n] || array_fill(0, array[11]) where channel = {channel}"""


_SOURCE = """with made as (insert into source (kind, name, defaults, created_at)
                  values ('pagerduty', 'pager', '{"silent_after": "30min"}', $1) returning id)"""


_WEBHOOK = """with made as (insert into webhook_endpoint
                   (url, events, created_at, created_by, failing_since)
                   values ('https://x', '{{}}', $1::timestamptz, 'cli', {failing}) returning id)"""


@dataclass(frozen=True)
class Stop:
    """One thing that may stand still: how, from when on, and what is said of it."""

    name: str
    make: Made
    after_s: float
    words: str
    # What else stands still with it.
    beside: frozenset[str] = frozenset()


STOPS = [
    Stop("workers", ago("update worker set seen_at = clock_timestamp() - make_interval(secs => $1::float8)"),
         30, "none seen for 30 s"),
    Stop("queue", since("update slice set not_before = $1"), 900, "what is due has waited"),
    Stop("planning", planning, 60, "(nobody has put it into words)"),
    Stop("planning", unworded, 60, "(it could not be put into words)"),
    Stop("idle slices", since("update slice set state = 1, start_at = $1"), 60, "nobody began them"),
    Stop("lost slices", ago("update slice set state = 2, lease_until = clock_timestamp()"
                            " - make_interval(secs => $1::float8)"), 60, "have had no worker"),
    Stop("doubtful slices", since("update slice set state = 3, ambiguous_at = $1"), 180,
         "in doubt for over 60 s beyond their window"),
    Stop("receipts", since("insert into receipt_batch (provider, received_at, receipts)"
                         " values ('twilio', $1, '[]')"), 300, "have waited to be applied"),
    Stop("email receipts", since(_SENT.format(channel=1)), 900, "has said nothing since"),
    Stop("sms receipts", since(_SENT.format(channel=2)), 900, "has said nothing since"),
    Stop("silent sources", since(f"{_SOURCE} select 1 from made"), 1800, "1 have said nothing"),
    Stop("failing webhooks", since(f"{_WEBHOOK.format(failing='$1')} select 1 from made"), 3600,
         "has done nothing but fail for"),
    Stop("late webhooks", since(f"{_WEBHOOK.format(failing='null')}, event as (insert into webhook_event"
                                " (type, data, at) values ('x', '{}', $1) returning id)"
                                " insert into webhook_delivery (event_id, endpoint_id, due_at)"
                                " select event.id, made.id, $1 from event, made"), 3600,
         "has been due for"),
    Stop("email canary", ago("insert into canary values (1, 60, '', clock_timestamp()"
                             " - make_interval(secs => $1::float8))"), 180,
         "the newest canary that arrived set out"),
]  # fmt: skip
AT_ONCE = [
    Stop("consumers", now("update worker set linked = 8"), 0, "1 workers have consumers that lost"),
    Stop("held slices", now("update slice set state = 5"), 0, "were claimed again and again"),
    Stop("stuck receipts", since("insert into receipt_batch (provider, received_at, tries, receipts)"
                               " values ('twilio', $1, 5, '[]')"), 0, "1 callbacks cannot be applied"),
    Stop("sms sender", since("update sender set paused_why = 'account_problem', trips = 1,"
                           " paused_until = $1::timestamptz + interval '9 s' where channel = 2"), 0,
         "stopped for 9 s more (account problem)"),
    Stop("sms pause", since("insert into channel_pause values (2, $1, null, 'cli', 'names Acme')"), 0,
         "paused by hand: who and why: tidings channels"),
    Stop("email pause", since("insert into channel_pause values (1, $1, $1::timestamptz + interval '3 h',"
                              " 'cli', 'names Acme')"), 0, "paused by hand until 2"),
    Stop("email sender", now("update sender set paused_why = 'provider_unclear', trips = 1"
                             " where channel = 1"), 0, "on probation (provider unclear)"),
    Stop("disabled webhooks", since("insert into webhook_endpoint (url, events, created_at, created_by,"
                                    " disabled_at, disabled_why)"
                                    " values ('https://x', '{}', $1, 'cli', $1, 'gone')"), 0,
         "1 failed for five days or answered 410"),
    Stop("refused sources", since(f"{_SOURCE} insert into source_trouble (source_id, kind, since, last_at, n,"
                                " untold) select id, 'forged', $1, $1, 7, 0 from made"), 0,
         "the last within the hour: 7 forged"),
]  # fmt: skip


async def told(anonymous: Api, ctx: Context) -> tuple[dict[str, str], set[str], dict[str, str]]:
    """By readiness (what is wrong), by the metrics, and by doctor (WRONG and notes)."""

    async def listening() -> bool:
        checks = (await anonymous.get("/readyz")).json["checks"]
        return bool(checks["listener"] == "ok")

    await eventually(listening, what="the process listens")
    checks: Mapping[str, str] = (await anonymous.get("/readyz")).json["checks"]
    wrong = {name: reason for name, reason in checks.items() if reason != "ok"}
    samples = (await scrape(anonymous)).samples
    stops = {
        dict(labels)["check"]
        for (name, labels), value in samples.items()
        if name == "tidings_stop" and value
    }
    found = {
        finding.what: finding.detail
        for finding in await examine(ctx.settings)
        if finding.mark is not Mark.RIGHT
    }
    return wrong, stops, found


async def comes_to(anonymous: Api, ctx: Context, wanted: set[str]) -> None:
    """Until just that is told of: a look is kept for a hundred times as long as it took."""

    async def reached() -> bool:
        return (await told(anonymous, ctx))[1] == wanted

    await eventually(reached, what=f"{wanted or 'nothing'} should be told of")


@pytest.mark.parametrize("stop", [*STOPS, *AT_ONCE], ids=lambda stop: f"{stop.name}: {stop.words}")
async def test_a_stop_is_told_by_all_who_are_asked_in_the_same_words(
    well: Context, anonymous: Api, stop: Stop
) -> None:
    await stop.make(well, stop.after_s + 5 * bool(stop.after_s))
    wrong, stops, found = await told(anonymous, well)
    assert set(wrong) == stops == {stop.name}
    assert stop.words in wrong[stop.name]
    # Seconds pass between one question and the next.
    said = re.sub(r"\d+ s", "N s", found[stop.name])
    assert re.sub(r"\d+ s", "N s", wrong[stop.name]).startswith(said)


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: f"{stop.name}: {stop.words}")
async def test_what_has_only_begun_to_wait_is_no_stop(
    well: Context, anonymous: Api, stop: Stop
) -> None:
    await stop.make(well, stop.after_s - 5)
    assert (await told(anonymous, well))[:2] == ({}, set())


async def test_what_waits_by_a_persons_will_is_not_stuck(well: Context, anonymous: Api) -> None:
    """Neither the queue nor the canary of a channel that is paused; with its end they are."""
    hour = timedelta(hours=1)
    await well.pool.execute("update slice set not_before = $1 where channel = 1", well.now() - hour)
    await ago("insert into canary values (1, 60, '', clock_timestamp()"
              " - make_interval(secs => $1::float8))")(well, 3600)  # fmt: skip
    pauses = "insert into channel_pause values (1, $1, $2, 'cli', 'names Acme')"
    await well.pool.execute(pauses, well.now() - hour, well.now() + hour)
    await comes_to(anonymous, well, {"email pause"})
    answer = await anonymous.get("/readyz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    samples = (await scrape(anonymous)).samples
    labels = frozenset({("channel", "email"), ("reason", "by_hand")})
    assert samples["tidings_sender_paused", labels] == 1
    assert b"Acme" not in answer.body
    await well.pool.execute("update channel_pause set until = $1", well.now())
    await comes_to(anonymous, well, {"queue", "email canary"})


async def test_to_be_asked_to_wait_a_moment_is_no_stop_and_for_longer_is_one(
    well: Context, anonymous: Api
) -> None:
    rests = (
        "update sender set paused_why = 'throttled', trips = 1, paused_until = $1 where channel = 1"
    )
    for seconds, wanted in (
        (31, {"email sender"}),
        (29, set()),
        (40, {"email sender"}),
        (-1, set()),
    ):
        await well.pool.execute(rests, well.now() + timedelta(seconds=seconds))
        await comes_to(anonymous, well, wanted)


async def test_a_receipt_of_any_message_shows_that_the_provider_calls_back(
    well: Context, anonymous: Api
) -> None:
    await since(_SENT.format(channel=1))(well, 1000)
    await well.pool.execute("update sender set heard_at = $1", well.now() - timedelta(seconds=990))
    await comes_to(anonymous, well, set())
    await well.pool.execute("update sender set heard_at = $1", well.now() - timedelta(seconds=1010))
    await comes_to(anonymous, well, {"email receipts"})


@pytest.mark.fault(16)
async def test_a_snapshot_that_somebody_holds_is_told_whoever_it_is(
    well: Context, anonymous: Api, clock: MovableClock
) -> None:
    limits = well.settings.watch.model_copy(update={"transaction_s": 0.2})
    other = await open_session(well.dsn, well.settings.database, application_name="a report")
    try:
        idle = await open_session(well.dsn, well.settings.database, application_name="at rest")
        await idle.execute("begin")  # holds nothing back
        await other.execute("begin isolation level repeatable read")
        await other.fetchval("select count(*) from delivery")
        await other.fetchval("select pg_sleep(0.3)")
        async with well.pool.acquire() as conn:
            facts = await look(conn, well.settings, now=clock.now())
            stopped = [check for check in standing(facts, limits) if check.state is not State.OK]
            assert [check.name for check in stopped] == ["transactions"]
            assert "has been open 0 s" in stopped[0].detail
            await other.execute("rollback")
            assert (await look(conn, well.settings, now=clock.now())).transaction_s == 0
        await idle.close()
    finally:
        await other.close()
    assert (await told(anonymous, well))[1] == set()


async def test_every_check_has_an_alert_that_asks_for_it(well: Context) -> None:
    await well.pool.execute("insert into canary values (1, 60, '', now()), (2, 60, '', now())")
    async with well.pool.acquire() as conn:
        facts = await look(conn, well.settings, now=well.now())
    checks = standing(facts, well.settings.watch)
    names = {check.name for check in checks} | set(METRIC_OF)
    asked = [
        pattern
        for rule in ALERTS
        for pattern in re.findall(r'tidings_stop\{check=~?"([^"]+)"\}', rule["expr"])
    ]
    silent = {
        name
        for name in names
        if not any(re.fullmatch(pattern, name) for pattern in asked)
        and not any(METRIC_OF.get(name, "?") in rule["expr"] for rule in ALERTS)
    }
    assert silent == set()


def test_a_database_that_cannot_be_asked_is_no_quiet_one(ctx: Context) -> None:
    assert standing(None, ctx.settings.watch) == [
        Check("queue", State.DEGRADED, "the database did not say what waits")
    ]


async def test_doctor_says_where_no_canary_would_notice(ctx: Context) -> None:
    found = {finding.what: finding for finding in await examine(ctx.settings)}
    assert found["sms canary"].mark is Mark.NOTE
    assert "TIDINGS_CANARY__SMS" in found["sms canary"].mend
    # It is set, and no worker sends it.
    assert found["email canary"].mark is Mark.NOTE
    assert "no worker sends it" in found["email canary"].detail
