"""Words for stories about webhooks: an endpoint, an event, a turn."""

from dataclasses import dataclass
from typing import Any

from dispatcher.announce import EventType, SourceError, announce
from dispatcher.context import Context
from dispatcher.stages import webhooks
from dispatcher.stages.webhooks import Endpoint, Logged
from tests.webhooks.receiver import Receiver

EVERYTHING = (
    EventType.UPDATE_PUBLISHED,
    EventType.DISPATCH_COMPLETED,
    EventType.DELIVERY_FAILED,
    EventType.SOURCE_ERROR,
)


@dataclass(frozen=True)
class Hook:
    """An endpoint and what its messages are signed with."""

    id: int
    secret: str


async def hook(ctx: Context, url: str | Receiver, *events: EventType) -> Hook:
    async with ctx.pool.acquire() as conn, conn.transaction():
        endpoint, secret = await webhooks.create(
            conn,
            ctx,
            url=url if isinstance(url, str) else url.url,
            events=events or EVERYTHING,
            description="",
            actor="test",
            now=ctx.now(),
        )
    return Hook(endpoint.id, secret)


def trouble(number: int = 1) -> SourceError:
    return SourceError(
        source_id=1, name="pd", kind="pagerduty", error="malformed", detail=f"number {number}"
    )


async def tell(ctx: Context, number: int = 1) -> None:
    async with ctx.pool.acquire() as conn, conn.transaction():
        await announce(conn, EventType.SOURCE_ERROR, trouble(number), now=ctx.now())


async def log_of(ctx: Context, endpoint: Hook) -> list[Logged]:
    async with ctx.pool.acquire() as conn:
        return await webhooks.list_log(conn, endpoint.id, before=None, state=None, limit=200)


async def state_of(ctx: Context, endpoint: Hook) -> Endpoint:
    async with ctx.pool.acquire() as conn:
        found = await webhooks.find(conn, endpoint.id)
    assert found is not None
    return found


async def jobs(ctx: Context) -> list[tuple[str, int]]:
    rows: list[Any] = await ctx.pool.fetch(
        "select entrypoint, convert_from(payload, 'UTF8')::bigint as key from pgqueuer order by id"
    )
    return [(row["entrypoint"], row["key"]) for row in rows]
