"""Nobody waits for the end of somebody else's crowd."""

from channels.model import Deferred, Reason
from dispatcher.context import Context
from dispatcher.rules.states import SliceState
from dispatcher.stages.plan.stage import LARGE_FROM
from dispatcher.stages.send.answers import Answers, End, Page
from dispatcher.stages.send.pages import write
from segments.records import ContactIn
from tests.chaos.people import WITHOUT
from tests.flow.story import contact, plan_out, post, release_all, seed, update
from tests.races.moments import in_flight, open_transaction

ROUNDS_SQL = "select round from slice where update_id = $1 and channel = 1 order by id"
RELEASED_SQL = """
select s.id, s.update_id, array_agg(distinct a.external_id) as accounts
from slice s join delivery d on d.update_id = s.update_id and d.slice_id = s.id
join account a on a.id = d.account_id
where s.channel = 1 and s.id = any($1::bigint[]) group by 1, 2 order by min(s.start_at), s.id
"""


def people(account: str, count: int, *, start: int = 0) -> list[ContactIn]:
    """Those of one account, reached by e-mail alone."""
    return [
        contact(number, account, **{**WITHOUT, "email": f"p{number}@example.com"})
        for number in range(start, start + count)
    ]


async def a_crowd_and_ten_small_accounts(ctx: Context) -> list[str]:
    """The crowd came first, so it is planned first; the names of the small ones."""
    await seed(ctx, people("crowd", LARGE_FROM))
    small = [f"small-{number}" for number in range(10)]
    await seed(
        ctx,
        [
            person
            for place, name in enumerate(small, 1)
            for person in people(name, 3, start=1_000_000 + 10 * place)
        ],
    )
    await ctx.pool.execute("analyze contact")
    return small


async def test_slices_take_rounds_that_double(ctx: Context) -> None:
    await seed(ctx, people("crowd", 2_500))
    accepted = await post(ctx, update(ctx))
    await plan_out(ctx, accepted)
    rounds = [row["round"] for row in await ctx.pool.fetch(ROUNDS_SQL, accepted.update_id)]
    assert rounds[:3] == [0, 1, 1]


async def test_ten_small_accounts_do_not_wait_for_the_crowd_of_another(ctx: Context) -> None:
    small = await a_crowd_and_ten_small_accounts(ctx)
    await plan_out(ctx, await post(ctx, update(ctx)))
    released = await ctx.pool.fetch(RELEASED_SQL, await release_all(ctx))
    assert len(released) >= 5
    places = [place for place, row in enumerate(released) if set(row["accounts"]) & set(small)]
    assert places
    assert max(places) <= 1, [row["accounts"] for row in released]


async def test_an_update_for_few_does_not_wait_for_a_newer_one_for_a_crowd(ctx: Context) -> None:
    small = await a_crowd_and_ten_small_accounts(ctx)
    few = await post(
        ctx,
        update(ctx, incident={"external_id": "INC-1"}, audience={"account_ids": small}),
    )
    crowd = await post(
        ctx,
        update(ctx, incident={"external_id": "INC-2"}, audience={"account_ids": ["crowd"]}),
    )
    await plan_out(ctx, few)
    await plan_out(ctx, crowd)
    released = await ctx.pool.fetch(RELEASED_SQL, await release_all(ctx))
    order = [row["update_id"] for row in released]
    assert order[0] == crowd.update_id
    assert order.index(few.update_id) == 1


async def test_what_must_wait_again_keeps_its_round(ctx: Context) -> None:
    flight = await in_flight(ctx, mails=3)
    await ctx.pool.execute("update slice set round = 3 where id = $1", flight.held.id)
    busy = Deferred(Reason.THROTTLED, "429", sender_wide=True)
    answers = Answers.sort((endpoint, busy) for endpoint in flight.endpoints)
    async with open_transaction(ctx) as conn:
        await write(conn, ctx, [Page(flight.held, answers, End())], now=ctx.now())
    waiting = await ctx.pool.fetch(
        "select round, n from slice where state = $1", SliceState.WAITING
    )
    assert [(row["round"], row["n"]) for row in waiting] == [(3, 3)]
