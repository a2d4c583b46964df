"""The tick of the pacing: each second, every sender that has waiting slices gets a turn."""

from dispatcher.context import Context
from dispatcher.rules.states import SliceState
from dispatcher.stages import release

WAITING_SENDERS_SQL = f"""
select s.id from sender s
where exists (select from slice w where w.sender_id = s.id and w.state = {SliceState.WAITING:d})
order by s.id
"""


async def release_due(ctx: Context) -> None:
    """One turn for each sender; stages also ask for one as soon as something ends."""
    for row in await ctx.pool.fetch(WAITING_SENDERS_SQL):
        await release.run(ctx, row["id"])
