"""The canary: it travels as customers' messages do, arrives, is in nobody's way and in nobody's lists."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from channels.model import ChannelKind, Fact, Receipt
from dispatcher.clocks.canary import send_canary
from dispatcher.clocks.maintenance import maintain
from dispatcher.config import CanarySettings
from dispatcher.context import Context
from dispatcher.ids import DeliveryKey
from dispatcher.rules.audience import audience_query
from dispatcher.rules.canary import CANARY, SEVERITY, channels_with_canary
from dispatcher.rules.states import DeliveryState, Purpose
from dispatcher.sandbox import RunningSandbox
from dispatcher.stages import approve, compose, plan, report, track
from dispatcher.stages.plan.bounds import bounds
from dispatcher.stages.report import latest_dispatch, verify_ledger
from dispatcher.watch import look
from dispatcher.web.banner.items import NEWEST_SQL
from dispatcher.web.incidents import LIST_SQL
from dispatcher.web.overview import SEGMENTS_SQL
from tests.chaos.providers import Acceptance
from tests.flow.story import (
    MovableClock,
    apply_receipts,
    contact,
    plan_out,
    post,
    release_all,
    seed,
    send_all,
    update,
)

BOTH = CanarySettings(email="canary@example.com", sms="+12125550189")
LATER_SQL = """
with u as (update canary_update set at = at - make_interval(secs => $1))
update canary set since = since - make_interval(secs => $1), heard_at = heard_at - make_interval(secs => $1)
"""
TABLES_SQL = """
select relname from pg_class
where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace
"""


def with_canary(ctx: Context, canary: CanarySettings = BOTH) -> Context:
    return replace(ctx, settings=ctx.settings.model_copy(update={"canary": canary}))


async def later(ctx: Context, clock: MovableClock, seconds: float) -> None:
    """So much later, by the database's clock and by ours."""
    await ctx.pool.execute(LATER_SQL, seconds)
    clock.move(timedelta(seconds=seconds))


async def rows_by_table(ctx: Context) -> dict[str, int]:
    names = [row["relname"] for row in await ctx.pool.fetch(TABLES_SQL)]
    return {name: await ctx.pool.fetchval(f"select count(*) from {name}") for name in names}


async def ledger_of(sandbox: RunningSandbox) -> AsyncIterator[Acceptance]:
    for row in sandbox.ledger.rows():
        yield Acceptance(row["provider"], row["key"], row["at"])


async def on_its_way(ctx: Context) -> int:
    """Compose, approve and plan the newest canary; its update."""
    newest: int = await ctx.pool.fetchval("select max(update_id) from canary_update")
    for stage in (compose, approve, plan):
        await stage.run(ctx, newest)
    return newest


async def delivered(ctx: Context, update_id: int, *kinds: ChannelKind) -> None:
    """The providers say that it arrived."""
    rows = await ctx.pool.fetch(
        "select channel, endpoint_id from delivery where update_id = $1 and endpoint_id > 0",
        update_id,
    )
    said = [
        Receipt(
            ctx.signer.delivery_key(
                DeliveryKey(update_id, row["channel"], row["endpoint_id"], Purpose.NOTICE, 1)
            ),
            Fact.DELIVERED,
            ctx.now(),
        )
        for row in rows
        if ChannelKind.from_code(row["channel"]) in kinds
    ]
    async with ctx.pool.acquire() as conn:
        await track.store(conn, ctx, "sendgrid", said, now=ctx.now())
    await apply_receipts(ctx)


async def ages(ctx: Context) -> dict[str, int]:
    """In seconds, by tens: real time passes too."""
    async with ctx.pool.acquire() as conn:
        facts = await look(conn, ctx.settings, now=ctx.now())
    return {kind.value: 10 * round(canary.age_s / 10) for kind, canary in facts.canaries.items()}


async def test_it_leaves_once_in_its_interval_however_many_workers_there_are(
    ctx: Context, clock: MovableClock
) -> None:
    canary = with_canary(ctx)
    await asyncio.gather(*(send_canary(canary) for _ in range(5)))
    assert await ctx.pool.fetchval("select count(*) from canary_update") == 1
    await later(ctx, clock, 55)
    await asyncio.gather(*(send_canary(canary) for _ in range(5)))
    assert await ctx.pool.fetchval("select count(*) from canary_update") == 1
    await later(ctx, clock, 6)
    await asyncio.gather(*(send_canary(canary) for _ in range(5)))
    assert await ctx.pool.fetchval("select count(*) from canary_update") == 2


async def test_it_is_an_ordinary_message_to_one_address_a_channel_and_only_proof_counts(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    await seed(ctx, [contact(number, "small") for number in range(3)])
    canary = with_canary(ctx)
    await send_canary(canary)
    sent = await on_its_way(ctx)
    await send_all(ctx)
    keys = [ctx.signer.read_delivery_key(row["key"]) for row in sandbox.ledger.rows()]
    assert [key.update for key in keys] == [sent, sent]
    addresses = await ctx.pool.fetch(
        "select a.value from endpoint e join address a on a.id = e.address_id where e.id = any($1)",
        [key.endpoint for key in keys],
    )
    assert {row["value"] for row in addresses} == {BOTH.email, BOTH.sms}
    await later(ctx, clock, 100)
    await send_canary(canary)  # sends another and sees no proof of the first
    assert await ages(ctx) == {"email": 100, "sms": 100}
    await delivered(ctx, sent, ChannelKind.EMAIL)
    await later(ctx, clock, 30)
    await send_canary(canary)
    assert await ages(ctx) == {"email": 130, "sms": 130}, "it set out that long ago"
    another = await on_its_way(ctx)
    assert another != sent
    await delivered(ctx, another, ChannelKind.SMS)
    await send_canary(canary)
    assert await ages(ctx) == {"email": 130, "sms": 30}


async def test_nobody_meets_it_in_a_list_a_count_a_banner_or_a_report(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    real = await post(ctx, update(ctx))
    await plan_out(ctx, real)
    before = await ctx.pool.fetch(SEGMENTS_SQL)
    await send_canary(with_canary(ctx))
    await on_its_way(ctx)
    listed = await ctx.pool.fetch(LIST_SQL, None, None, 9, *[None] * 5)
    assert [row["id"] for row in listed] == [real.incident_id]
    assert await ctx.pool.fetch(SEGMENTS_SQL) == before
    assert await ctx.pool.fetchval("select count(*) from banner_event") == 1
    async with ctx.pool.acquire() as conn:
        assert await latest_dispatch(conn) == real.dispatch_id
        newest = await conn.fetch(NEWEST_SQL, ctx.now(), None)
        assert [row["update_id"] for row in newest] == [real.update_id]
    # Nor does it meet what is meant for others: the next update concerns everybody there is.
    everybody = await post(ctx, update(ctx, incident={"external_id": "INC-2"}))
    await plan_out(ctx, everybody)
    told = (
        "select count(*) from delivery d join account a on a.id = d.account_id where update_id = $1"
    )
    assert await ctx.pool.fetchval(told, everybody.update_id) > 0
    assert await ctx.pool.fetchval(told + " and external_id = $2", everybody.update_id, CANARY) == 0


async def test_it_does_not_stand_behind_a_fan_out_that_is_older(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    crowd = await post(ctx, update(ctx))
    await plan_out(ctx, crowd)
    await ctx.pool.execute(
        """insert into slice (update_id, incident_id, dispatch_id, rendering_id, sender_id, channel, purpose,
                              lane, state, n, not_before, expires_at, endpoint_ids, n_by_status)
           select s.update_id, s.incident_id, s.dispatch_id, s.rendering_id, s.sender_id, s.channel,
                  s.purpose, s.lane, 0, 100, s.not_before, s.expires_at, '{}', s.n_by_status
           from slice s, generate_series(1, 1000) where s.channel = 2 and s.update_id = $1""",
        crowd.update_id,
    )
    await send_canary(with_canary(ctx))
    sent = await on_its_way(ctx)
    released = await release_all(ctx)
    mine = "select count(*) from slice where update_id = $1 and channel = 2 and id = any($2)"
    assert await ctx.pool.fetchval(mine, sent, released) == 1


async def test_planning_one_looks_at_no_contact_but_its_own(ctx: Context) -> None:
    await seed(ctx, [contact(number, "small") for number in range(5)])
    await send_canary(with_canary(ctx))
    own = await ctx.pool.fetchval("select id from contact where external_id = $1", CANARY)
    await seed(ctx, [contact(number, "small") for number in range(5, 9)])
    assert await ctx.pool.fetchval("select cursor from dispatch") == 0
    await on_its_way(ctx)
    account = await ctx.pool.fetchval("select id from account where external_id = $1", CANARY)
    async with ctx.pool.acquire() as conn:
        query = audience_query(
            ctx.policy,
            ctx.segment_rules,
            severity=SEVERITY,
            visibility="accounts",
            component_ids=(),
            audience={"segments": ["smb"], "account_ids": [account]},
        )
        dispatch = await conn.fetchval("select id from dispatch")
        assert await bounds(conn, query, dispatch, 0) == (own - 1, own)
        # Segments that are always told must be looked for everywhere.
        everywhere = replace(query, segments=())
        last = await conn.fetchval("select max(id) from contact")
        assert await bounds(conn, everywhere, dispatch, 0) == (0, last)
    assert await ctx.pool.fetchval("select cursor from dispatch") == own


async def test_it_follows_the_settings_and_starts_anew_with_another_address(
    ctx: Context, clock: MovableClock
) -> None:
    await send_canary(with_canary(ctx))
    await delivered(ctx, await on_its_way(ctx), ChannelKind.EMAIL, ChannelKind.SMS)
    await later(ctx, clock, 70)
    await send_canary(with_canary(ctx))
    assert await ages(ctx) == {"email": 70, "sms": 70}
    other = CanarySettings(email="other@example.com", sms=BOTH.sms)
    await send_canary(with_canary(ctx, other))
    assert await ctx.pool.fetchval("select count(*) from canary_update") == 2, "none is due"
    assert await ages(ctx) == {"email": 0, "sms": 70}
    await later(ctx, clock, 61)
    await send_canary(with_canary(ctx, other))
    sent = await on_its_way(ctx)
    await send_all(ctx)
    addresses = await ctx.pool.fetch(
        """select a.value from delivery d join address a on a.id = d.address_id
           where d.update_id = $1 order by d.channel""",
        sent,
    )
    assert [row["value"] for row in addresses] == ["other@example.com", BOTH.sms]
    await send_canary(with_canary(ctx, CanarySettings()))
    assert await ages(ctx) == {}
    await later(ctx, clock, 61)
    await send_canary(with_canary(ctx, CanarySettings()))
    assert await ctx.pool.fetchval("select max(update_id) from canary_update") == sent


async def test_what_was_not_sent_in_its_time_is_not_sent_after_it(
    ctx: Context, clock: MovableClock
) -> None:
    await send_canary(with_canary(ctx))
    await on_its_way(ctx)
    clock.move(timedelta(seconds=181))
    await send_all(ctx)
    rows = await ctx.pool.fetch("select distinct state from delivery where endpoint_id > 0")
    assert [row["state"] for row in rows] == [DeliveryState.EXPIRED]


async def test_a_day_later_nothing_is_left_of_it_and_the_ledger_still_agrees(
    ctx: Context, clock: MovableClock, sandbox: RunningSandbox
) -> None:
    canary = with_canary(ctx)
    before = await rows_by_table(ctx)
    await send_canary(canary)
    old = await on_its_way(ctx)
    await send_all(ctx)
    await delivered(ctx, old, ChannelKind.EMAIL, ChannelKind.SMS)
    dispatch = await ctx.pool.fetchval("select id from dispatch")
    await report.run(ctx, dispatch)
    async with ctx.pool.acquire() as conn:
        # Nobody will read its report: it is over, and never looked at again.
        assert await report.due(conn, now=ctx.now() + timedelta(hours=1)) == []
    await later(ctx, clock, 24 * 3600 + 60)
    await send_canary(canary)
    kept = await on_its_way(ctx)
    await maintain(ctx)
    after = await rows_by_table(ctx)
    grown = {name: n - before[name] for name, n in after.items() if n > before[name]}
    # Of the one that is young.
    young = {"incident", "incident_update", "dispatch", "canary_update", "account_update"}
    assert {grown.pop(name) for name in young} == {1}
    assert await ctx.pool.fetchval("select max(update_id) from canary_update") == kept
    for name in ("slice", "delivery", "rendering"):
        grown.pop(name)
        mine = f"select count(*) from {name} where update_id = $1"
        assert await ctx.pool.fetchval(mine, old) == 0
        assert await ctx.pool.fetchval(mine, kept) > 0
    # Whom it goes to stays.
    assert set(grown) <= {"account", "contact", "contact_version", "contact_endpoint", "address",
                          "endpoint", "consent", "canary", "pgqueuer", "pgqueuer_log", "setting"}  # fmt: skip
    async with ctx.pool.acquire() as conn:
        found = await verify_ledger(conn, ledger_of(sandbox), signer=ctx.signer)
    assert (len(sandbox.ledger), found.acceptances) == (2, 0)
    assert (found.without_delivery, found.miscounted, found.miscounted_accounts) == (0, 0, 0)


def test_a_channel_the_policy_does_not_use_has_none(ctx: Context) -> None:
    wanted = {ChannelKind.EMAIL, ChannelKind.SMS}
    assert channels_with_canary(ctx.policy, "smb", wanted) == wanted
    assert channels_with_canary(ctx.policy, "internal", wanted) == {ChannelKind.EMAIL}


async def test_a_worker_whose_rules_would_tell_it_of_everything_sends_none(ctx: Context) -> None:
    rules = replace(ctx.segment_rules, always_segments=("smb", "internal"))
    await send_canary(replace(with_canary(ctx), segment_rules=rules))
    assert await ctx.pool.fetchval("select count(*) from canary_update") == 0
    assert await ages(ctx) == {}
