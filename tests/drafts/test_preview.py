"""Looking ahead: words, people and costs, of a draft and of a body not posted; nobody waits for it."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from channels.sms_segments import segments
from dispatcher.config import Settings
from dispatcher.config.preview import PreviewSettings, SmsPrices
from dispatcher.context import Context
from tests.drafts.desk import WAITING, Desk, body
from tests.flow.story import MovableClock, contact, post, seed, update
from tests.web.client import Api

PRICES = SmsPrices(currency="EUR", by_prefix={"+1": Decimal("0.0079"), "+4917": Decimal("0.0845")})
STOP = " Reply STOP to opt out"


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    changes = {"sms_prices": PRICES, "preview": PreviewSettings(at_once=1, statement_timeout_s=0.5)}
    return web_settings.model_copy(update=changes)


@pytest.fixture
async def people(ctx: Context) -> None:
    """Three Americans, two of whom share a phone; a German, and a Briton whose price is not set."""
    await seed(
        ctx,
        [
            contact(1, "small"),
            contact(2, "small", phone="+12125550101"),
            contact(3, "small", phone="+12125550102"),
            contact(4, "big", phone="+491711234567"),
            contact(5, "big", phone="+447911123456"),
            contact(6, "big", sms_consent=None),
        ],
        tiers={"big": "enterprise"},
    )


pytestmark = pytest.mark.usefixtures("people")


def codes(view: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["code"], item["pointer"]) for item in view["findings"]]


async def look(desk: Desk) -> dict[str, Any]:
    answer = await desk.api.call("POST", f"{desk.path}/preview")
    assert answer.status == 200, answer.body
    view: dict[str, Any] = answer.json
    return view


async def test_a_preview_shows_words_people_and_exact_costs_and_what_was_seen_can_be_sent(
    api: Api, ctx: Context
) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    view = await look(desk)
    assert (view["ready"], view["missing"], view["lint"]) == (True, [], [])
    counts = {
        (row["segment"], row["channel"], row["reason"]): row["people"] for row in view["audience"]
    }
    assert counts[("smb", "sms", None)] == 2
    assert counts[("smb", "sms", "shared_inbox")] == 1
    assert counts[("enterprise", "sms", "no_consent")] == 1
    reasons = {row["reason"]: row["reason_text"] for row in view["audience"]}
    assert reasons["no_consent"] == "No consent for this channel on record"
    assert reasons[None] is None
    texts = {row["segment"]: row for row in view["renderings"] if row["channel"] == "sms"}
    size = texts["smb"]["sms"]
    words = texts["smb"]["parts"]["text"]
    assert (size["units_minimum"], size["segments_minimum"]) == (
        segments(words).units,
        segments(words).count,
    )
    assert (size["units_maximum"], size["segments_maximum"]) == (
        segments(words + STOP).units,
        segments(words + STOP).count,
    )
    assert texts["smb"]["slots"] == [
        {"name": "stop", "part": "text", "max_length": len(STOP), "fallback": ""}
    ]
    # Two Americans, a German, and a Briton of whom it is said that nobody knows.
    sms = view["totals"]["sms"]
    at = {name: texts[name]["sms"] for name in ("smb", "enterprise")}
    for bound in ("minimum", "maximum"):
        small, big = (at[name][f"segments_{bound}"] for name in ("smb", "enterprise"))
        assert sms[f"segments_{bound}"] == 2 * small + 2 * big
        expected = 2 * small * Decimal("0.0079") + big * Decimal("0.0845")
        assert sms["cost"][bound] == str(expected)
    assert (sms["texts"], sms["cost"]["unpriced_texts"]) == (4, 1)
    assert (sms["cost"]["currency"], view["totals"]["emails"]) == ("EUR", 6)
    assert ("no-price", "") in codes(view)
    assert not any("{%" in text for row in view["renderings"] for text in row["parts"].values())
    # The same of a body that is not posted, but for what makes it a draft.
    dry = (await api.update(body(ctx, mode="dry_run"), "k2")).json
    assert dry["totals"] == view["totals"]
    assert dry["audience"] == view["audience"]
    assert [row["sms"] for row in dry["renderings"]] == [row["sms"] for row in view["renderings"]]
    assert (dry["mode"], dry["version"], view["mode"]) == ("dry_run", None, "draft")
    assert await ctx.pool.fetchval("select count(*) from rendering") == 0
    # What was looked at is what leaves.
    assert view["version"] == desk.seen
    desk.seen = view["version"]
    assert (await desk.submit()).status == 202


async def test_a_preview_names_all_that_stands_in_the_way_before_anybody_submits(
    api: Api, ctx: Context
) -> None:
    lacking = {"impact": None, "next_update_by": None}
    desk = await Desk.with_draft(api, body(ctx, facts=lacking))
    await desk.edit({"component_ids": []})
    view = await look(desk)
    assert codes(view) == [
        ("missing", "/facts/impact"),
        ("missing", "/facts/next_update_by"),
        ("missing", "/component_ids"),
        ("empty-audience", "/audience"),
    ]
    assert (view["ready"], view["renderings"], view["totals"]) == (False, [], None)
    # Who is told of everything is counted, customers or not.
    assert {row["segment"] for row in view["audience"]} <= {"internal", "operator"}
    await post(ctx, update(ctx))
    await desk.look()
    assert codes(await look(desk))[0] == ("overtaken", "")
    over = await Desk.with_draft(api, body(ctx, status="resolved"), "k2")
    view = await look(over)
    assert ("only-who-was-told", "/status") in codes(view)
    assert view["ready"]


async def test_a_promise_that_passed_while_it_waited_stands_in_the_way(
    api: Api, ctx: Context, clock: MovableClock
) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    clock.move(timedelta(hours=2))
    view = await look(desk)
    assert ("in-the-past", "/facts/next_update_by") in codes(view)
    assert not view["ready"]
    # As submitting would say.
    assert (await desk.submit()).json["errors"][0]["pointer"] == "/facts/next_update_by"


async def test_a_preview_takes_no_lock_that_who_posts_an_update_needs(
    api: Api, ctx: Context
) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    async with ctx.pool.acquire() as conn, conn.transaction():
        await conn.execute("select from incident for update")
        await conn.execute("select from incident_update for update")
        async with asyncio.timeout(10):
            view = await look(desk)
            dry = await api.update(body(ctx, mode="dry_run"), "k2")
    assert view["ready"]
    assert dry.status == 200


async def test_people_who_cannot_be_counted_in_time_are_left_out_and_the_words_are_not(
    api: Api, ctx: Context
) -> None:
    desk = await Desk.with_draft(api, body(ctx))
    async with ctx.pool.acquire() as conn, conn.transaction():
        await conn.execute("lock table contact_endpoint in access exclusive mode")
        async with asyncio.timeout(10):
            looking = [asyncio.create_task(look(desk)) for _ in range(2)]
            waiting = 0
            while not all(task.done() for task in looking):
                waiting = max(waiting, await ctx.pool.fetchval(WAITING))
                await asyncio.sleep(0.05)
    # One after the other, so that those who post find a connection.
    assert waiting == 1
    view = await looking[0]
    assert ("not-counted", "") in codes(view)
    assert (view["audience"], view["totals"]) == ([], None)
    assert view["renderings"]
    # Not to know how many is no reason not to tell them.
    assert view["ready"]


async def test_a_price_that_nobody_set_is_not_nothing() -> None:
    assert not SmsPrices().is_set
    assert SmsPrices().of("+12125550101") is None
    free = SmsPrices(default=Decimal(0))
    assert (free.is_set, free.of("+12125550101")) == (True, Decimal(0))
    prices = SmsPrices(by_prefix={"+1": Decimal(1), "+1787": Decimal(2)}, default=Decimal(3))
    assert [prices.of(number) for number in ("+1212", "+17875550101", "+44", "")] == [1, 2, 3, 3]
