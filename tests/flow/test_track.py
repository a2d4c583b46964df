"""What a receipt may undo, what a text from a person binds, and how far one bad callback reaches."""

from datetime import timedelta

import asyncpg
import pytest

from channels.model import ChannelKind, Fact, Reason, Receipt
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.ids import DeliveryKey
from dispatcher.rules.states import Purpose, bit, bits
from dispatcher.stages import track
from dispatcher.stages.track import MAX_TRIES
from dispatcher.stages.track.consequences import REASON_SQL
from dispatcher.stages.track.merge import MERGE_SQL
from dispatcher.stages.track.parking import LOOKS
from segments.model import Channel, SuppressionReason
from segments.suppressions import Why, add_suppression
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    contact,
    plan_out,
    post,
    recounted,
    seed,
    statuses,
    update,
)

PHONE = "+12125550101"
MAIL = "person1@example.com"


async def texted(ctx: Context, *, stop: bool, address: str = PHONE) -> None:
    """STOP or START from a phone, as the adapter reads it."""
    said = Receipt(
        key="",
        fact=Fact.UNSUBSCRIBED,
        at=ctx.now(),
        detail=f"inbound {'stop' if stop else 'start'}",
        reason=Reason.OPTED_OUT if stop else None,
        suppress=stop,
        lift=not stop,
        address=address,
    )
    async with ctx.pool.acquire() as conn:
        await track.store(conn, ctx, "twilio", [said], now=ctx.now())


async def suppress(ctx: Context, channel: Channel, address: str, why: Why) -> None:
    async with ctx.pool.acquire() as conn:
        await add_suppression(conn, channel, address, why, hash_key=ctx.address_key, now=ctx.now())


async def suppressions(ctx: Context) -> list[tuple[int, str]]:
    rows = await ctx.pool.fetch("select reason, source from suppression")
    return [(row["reason"], row["source"]) for row in rows]


async def mail_keys(ctx: Context, people: int = 1) -> tuple[int | None, list[str]]:
    """A planned dispatch by mail, and the keys its mails carry."""
    await seed(ctx, [contact(number, "small") for number in range(1, people + 1)])
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    rows = await ctx.pool.fetch(
        """select endpoint_id from delivery where update_id = $1 and channel = 1 and endpoint_id > 0
           order by 1""",
        accepted.update_id,
    )
    code = ChannelKind.EMAIL.code
    return accepted.dispatch_id, [
        ctx.signer.delivery_key(
            DeliveryKey(accepted.update_id, code, row["endpoint_id"], Purpose.NOTICE, 1)
        )
        for row in rows
    ]


async def told(ctx: Context, key: str, fact: Fact, **more: object) -> None:
    """One callback with one event, stored but not applied."""
    receipt = Receipt(**{"key": key, "fact": fact, "at": ctx.now(), **more})  # type: ignore[arg-type] # keywords of a test
    async with ctx.pool.acquire() as conn:
        await track.store(conn, ctx, "sendgrid", [receipt], now=ctx.now())


async def test_a_person_who_texts_start_takes_their_own_stop_back(ctx: Context) -> None:
    await texted(ctx, stop=True)
    assert await suppressions(ctx) == [(SuppressionReason.OPTED_OUT, "inbound")]
    await texted(ctx, stop=False)
    assert await suppressions(ctx) == []


@pytest.mark.parametrize(
    "why",
    [
        Why(SuppressionReason.OPERATOR, "ops"),
        Why(SuppressionReason.BOUNCED, "provider"),
        Why(SuppressionReason.COMPLAINED, "provider"),
        Why(SuppressionReason.OPTED_OUT, "unsubscribe"),
    ],
    ids=["operator", "bounce", "complaint", "link"],
)
@pytest.mark.parametrize("stopped_first", [False, True])
async def test_start_lifts_nothing_but_the_persons_own_stop(
    ctx: Context, why: Why, *, stopped_first: bool
) -> None:
    if stopped_first:
        await texted(ctx, stop=True)
    await suppress(ctx, Channel.SMS, PHONE, why)
    await texted(ctx, stop=False)
    assert await suppressions(ctx) == [(why.reason, why.source)]


async def test_stop_and_start_are_kept_as_statements_of_everybody_at_the_phone(
    ctx: Context,
) -> None:
    await seed(ctx, [contact(1, "small"), contact(91, "small")])
    consented = "select consented from contact_endpoint where channel = 2"
    for stop in (True, False):
        await texted(ctx, stop=stop)
        assert [row["consented"] for row in await ctx.pool.fetch(consented)] == [not stop] * 2
    rows = await ctx.pool.fetch(
        "select granted, source, wording, at from consent where source <> 'contract' order by id"
    )
    assert [tuple(row) for row in rows] == [
        *[(False, "text message", "inbound stop", ctx.now())] * 2,
        *[(True, "text message", "inbound start", ctx.now())] * 2,
    ]


async def test_a_word_from_a_number_that_cannot_exist_does_not_fail(ctx: Context) -> None:
    await texted(ctx, stop=True, address="+10000000")
    await texted(ctx, stop=False, address="+10000000")
    assert await suppressions(ctx) == []


async def test_a_resubscription_lifts_an_opt_out_and_no_hard_bounce(ctx: Context) -> None:
    _, (key,) = await mail_keys(ctx)
    await told(ctx, key, Fact.UNSUBSCRIBED, reason=Reason.OPTED_OUT, suppress=True)
    await apply_receipts(ctx)
    assert await suppressions(ctx) == [(SuppressionReason.OPTED_OUT, "provider")]
    await told(ctx, key, Fact.UNSUBSCRIBED, lift=True)
    await apply_receipts(ctx)
    assert await suppressions(ctx) == []

    await told(ctx, key, Fact.BOUNCED_HARD, reason=Reason.UNKNOWN_ADDRESS, suppress=True)
    await told(ctx, key, Fact.UNSUBSCRIBED, lift=True)
    await apply_receipts(ctx)
    assert await suppressions(ctx) == [(SuppressionReason.BOUNCED, "provider")]


async def test_a_bounce_outlasts_an_opt_out_that_is_taken_back(ctx: Context) -> None:
    _, (key,) = await mail_keys(ctx)
    await told(ctx, key, Fact.UNSUBSCRIBED, reason=Reason.OPTED_OUT, suppress=True)
    await told(ctx, key, Fact.BOUNCED_HARD, reason=Reason.UNKNOWN_ADDRESS, suppress=True)
    await apply_receipts(ctx)
    await told(ctx, key, Fact.UNSUBSCRIBED, lift=True)
    await apply_receipts(ctx)
    assert await suppressions(ctx) == [(SuppressionReason.BOUNCED, "provider")]


async def test_thousands_of_receipts_are_never_compared_with_thousands_of_deliveries(
    conn: Connection,
) -> None:
    await conn.execute("set plan_cache_mode = force_generic_plan")
    for statement in (MERGE_SQL, REASON_SQL):
        await conn.execute(f"prepare q as {statement}")
        count = await conn.fetchval(
            "select cardinality(parameter_types) from pg_prepared_statements where name = 'q'"
        )
        values = ", ".join(["null"] * count)
        plan = "\n".join(row[0] for row in await conn.fetch(f"explain execute q({values})"))
        assert "Update on delivery" in plan
        assert "Nested Loop" not in plan
        assert "Join" not in plan
        await conn.execute("deallocate q")


async def test_two_attempts_and_many_facts_of_one_delivery_are_merged_at_once(ctx: Context) -> None:
    dispatch_id, (one, other) = await mail_keys(ctx, people=2)
    late = ctx.signer.delivery_key(ctx.signer.read_delivery_key(one)._replace(attempt=2))
    for key, fact in [
        (one, Fact.DEFERRED),
        (late, Fact.QUEUED),
        (one, Fact.DELIVERED),
        (other, Fact.BOUNCED_SOFT),
        (other, Fact.BOUNCED_SOFT),
    ]:
        await told(ctx, key, fact)
    await apply_receipts(ctx)
    found = await ctx.pool.fetch(
        "select evidence from delivery where channel = 1 order by endpoint_id"
    )
    assert [row["evidence"] for row in found] == [
        bits(Fact.DEFERRED, Fact.QUEUED, Fact.DELIVERED),
        bits(Fact.BOUNCED_SOFT),
    ]
    assert await ctx.pool.fetchval("select count(*) from receipt where matched") == 5
    counted = await statuses(ctx, dispatch_id)
    assert counted["delivered"] == 1
    assert counted == await recounted(ctx, ctx.signer.read_delivery_key(one).update)


async def strange_receipt(ctx: Context) -> DeliveryKey:
    """A receipt with a key of ours that fits no delivery, beside one that fits; both are applied."""
    _, (key,) = await mail_keys(ctx)
    strange = ctx.signer.read_delivery_key(key)._replace(purpose=Purpose.REPORT)
    await told(ctx, ctx.signer.delivery_key(strange), Fact.DELIVERED)
    await told(ctx, key, Fact.DELIVERED)
    await apply_receipts(ctx)
    return strange


MATCHED_SQL = "select purpose, matched from receipt order by purpose"


async def test_a_receipt_of_no_delivery_is_parked_and_dead_lettered_when_none_turns_up(
    ctx: Context, clock: MovableClock
) -> None:
    await strange_receipt(ctx)
    rows = await ctx.pool.fetch(MATCHED_SQL)
    assert [tuple(row) for row in rows] == [(Purpose.NOTICE, True)]
    for _ in range(LOOKS - 1):
        clock.move(timedelta(seconds=ctx.settings.worker.park_receipts_s / LOOKS))
        await track.look_again(ctx)
        assert await ctx.pool.fetchval("select count(*) from parked_receipt") == 1
    clock.move(timedelta(seconds=ctx.settings.worker.park_receipts_s / LOOKS))
    await track.look_again(ctx)
    rows = await ctx.pool.fetch(MATCHED_SQL)
    assert [tuple(row) for row in rows] == [(Purpose.NOTICE, True), (Purpose.REPORT, False)]
    assert await ctx.pool.fetchval("select count(*) from parked_receipt") == 0


async def test_a_parked_receipt_is_applied_once_its_delivery_is_there(
    ctx: Context, clock: MovableClock
) -> None:
    strange = await strange_receipt(ctx)
    await ctx.pool.execute("update delivery set purpose = $1", strange.purpose)
    await ctx.pool.execute("update delivery set evidence = 0")
    clock.move(timedelta(seconds=ctx.settings.worker.park_receipts_s / LOOKS))
    await track.look_again(ctx)
    assert await ctx.pool.fetchval("select count(*) from parked_receipt") == 0
    assert await ctx.pool.fetchval("select bool_and(matched) from receipt") is True
    evidence = await ctx.pool.fetchval(
        "select evidence from delivery where endpoint_id = $1 and channel = 1", strange.endpoint
    )
    assert evidence & bit(Fact.DELIVERED)


POISON = [
    [[[1, 1, 1], 1, 0.0, "", "", 0, 0]],
    [[[1, 1, 2**63, 1, 1], 1, 0.0, "", "", 0, 0]],
    [[[1, 1, 1, 1, 1], 999, 0.0, "", "", 0, 0]],
    [[[1, 1, 1, 1, 1], 1, 1e300, "", "", 0, 0]],
    [[[1, 1, 1, 1, 1], 1, "yesterday", "", "", 0, 0]],
    [[[1, 1, 1, 1, 1], 1]],
    [7],
    ["a text"],
    {"no": "list"},
]


@pytest.mark.parametrize("poison", POISON)
async def test_a_callback_that_cannot_be_applied_takes_no_neighbour_along(
    ctx: Context, poison: object
) -> None:
    dispatch_id, keys = await mail_keys(ctx, people=3)
    await told(ctx, keys[0], Fact.DELIVERED)
    await ctx.pool.execute(track.STORE_SQL, "sendgrid", ctx.now(), poison)
    for key in keys[1:]:
        await told(ctx, key, Fact.DELIVERED)

    await apply_receipts(ctx)

    assert (await statuses(ctx, dispatch_id))["delivered"] == 3
    left = await ctx.pool.fetch("select tries, receipts from receipt_batch")
    assert [(row["tries"], row["receipts"]) for row in left] == [(1, poison)]


async def test_a_callback_that_never_can_be_applied_stays_and_is_let_alone(ctx: Context) -> None:
    await ctx.pool.execute(track.STORE_SQL, "sendgrid", ctx.now(), POISON[0])
    for _ in range(MAX_TRIES + 2):
        await apply_receipts(ctx)
    assert await ctx.pool.fetchval("select tries from receipt_batch") == MAX_TRIES


async def test_a_database_that_goes_away_counts_as_no_try(ctx: Context) -> None:
    _, (key,) = await mail_keys(ctx)
    await told(ctx, key, Fact.DELIVERED)
    await ctx.pool.execute(
        """create function away() returns trigger language plpgsql as $$
           begin raise exception 'away' using errcode = '57P03'; end $$;
           create trigger away before update on delivery execute function away()"""
    )
    with pytest.raises(asyncpg.CannotConnectNowError):
        await apply_receipts(ctx)
    assert await ctx.pool.fetchval("select tries from receipt_batch") == 0
