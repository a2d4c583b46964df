"""What accept refuses, what it keeps from the last revision, and what becomes a draft."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from dispatcher.context import Context
from dispatcher.pipeline import release_update, take_in
from dispatcher.rules.problem import RefusedError
from tests.flow.story import MovableClock, contact, plan_out, post, seed, update

COUNT = "select count(*) from incident_update"


async def refused(ctx: Context, **more: object) -> list[tuple[str, str]]:
    """Pointers and codes of a refusal; nothing of the update may be left."""
    with pytest.raises(RefusedError) as caught:
        await post(ctx, update(ctx, **more))
    assert await ctx.pool.fetchval(COUNT) == 0
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


async def test_every_wrong_name_is_pointed_at_and_nothing_is_stored(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    assert await refused(ctx, incident={"component_ids": ["checkout", "nope"]}) == [
        ("/incident/component_ids/1", "unknown_component")
    ]
    assert await refused(ctx, audience={"segments": ["vips"]}) == [
        ("/audience/segments/0", "unknown_segment")
    ]
    assert await refused(ctx, audience={"account_ids": ["ghost"]}) == [
        ("/audience/account_ids/0", "unknown_account")
    ]


async def test_a_promise_in_the_past_is_refused(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    past = (ctx.now() - timedelta(minutes=1)).isoformat()
    assert await refused(ctx, facts={"next_update_by": past}) == [
        ("/facts/next_update_by", "in_the_past")
    ]


async def test_an_audience_of_nobody_is_refused(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    assert await refused(ctx, audience={"segments": ["enterprise"]}) == [("/audience", "empty")]


def test_an_empty_list_of_accounts_is_not_everybody(ctx: Context) -> None:
    with pytest.raises(ValidationError, match="account_ids"):
        update(ctx, audience={"account_ids": []})


async def test_without_a_promise_it_is_a_draft_that_names_what_is_missing(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    draft = await post(ctx, update(ctx, facts={"next_update_by": None}))
    assert (draft.state, draft.missing, draft.dispatch_id) == ("draft", ("next_update_by",), None)
    with pytest.raises(RefusedError, match="not complete"):
        async with ctx.pool.acquire() as conn, conn.transaction():
            await release_update(conn, ctx, draft.update_id, now=ctx.now())


async def test_a_draft_changes_nothing_the_public_can_see_until_it_is_released(
    ctx: Context,
) -> None:
    await seed(ctx, [contact(1, "small")])
    await post(ctx, update(ctx))
    draft = await post(ctx, update(ctx, status="monitoring", mode="draft"))
    assert await ctx.pool.fetchval("select status from incident") == "investigating"
    async with ctx.pool.acquire() as conn, conn.transaction():
        released = await release_update(conn, ctx, draft.update_id, now=ctx.now())
    assert released.dispatch_id is not None
    assert await ctx.pool.fetchval("select status from incident") == "monitoring"


async def test_a_draft_that_was_overtaken_is_not_sent(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    draft = await post(ctx, update(ctx, mode="draft"))
    await post(ctx, update(ctx, status="identified"))
    with pytest.raises(RefusedError, match="newer update"):
        async with ctx.pool.acquire() as conn, conn.transaction():
            await release_update(conn, ctx, draft.update_id, now=ctx.now())


async def test_what_a_later_update_omits_stays_as_it_was(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    await plan_out(ctx, await post(ctx, update(ctx)))
    body = update(ctx, status="identified").model_dump(mode="json", exclude_unset=True)
    body["facts"] = {"impact": "Every card payment fails."}
    body["incident"] = {"external_id": "INC-42"}
    later = await post(ctx, type(update(ctx)).model_validate(body))
    row = await ctx.pool.fetchrow("select * from incident_update where id = $1", later.update_id)
    assert row is not None
    assert row["facts"]["title"] == "Some customers cannot check out"
    assert row["facts"]["impact"] == "Every card payment fails."
    assert (row["severity"], len(row["component_ids"])) == (1, 1)


async def test_facts_that_cannot_be_worded_are_refused_at_the_door(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small")])
    body = update(ctx, incident={"external_id": "x\u202e" + "y" * 190})
    with pytest.raises(RefusedError) as caught:
        async with ctx.pool.acquire() as conn, conn.transaction():
            await take_in(conn, ctx, body, actor="test", now=ctx.now())
    assert caught.value.kind == "cannot-be-worded"
    assert await ctx.pool.fetchval(COUNT) == 0


async def test_colleagues_alone_are_no_audience_of_a_customer_incident(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "staff")])
    await ctx.pool.execute("update account set segment = 'internal' where external_id = 'staff'")
    await ctx.pool.execute(
        "delete from usage where account_id = (select id from account where external_id = 'small')"
    )
    await ctx.pool.execute(
        "delete from usage where account_id = (select id from account where external_id = 'staff')"
    )
    assert await refused(ctx) == [("/audience", "empty")]
    accepted = await post(ctx, update(ctx, incident={"visibility": "internal"}))
    assert accepted.state == "dispatching"


async def test_updates_of_two_incidents_in_one_moment_never_take_each_others_number(
    ctx: Context, clock: MovableClock
) -> None:
    """One that waited for another of its incident is numbered after it, though it came before."""
    await seed(ctx, [contact(1, "small")])
    first = await post(ctx, update(ctx, incident={"external_id": "INC-1"}))
    other = await post(ctx, update(ctx, incident={"external_id": "INC-2"}))
    clock.move(-timedelta(milliseconds=1))
    second = await post(ctx, update(ctx, incident={"external_id": "INC-1"}))
    assert first.update_id < second.update_id != other.update_id
