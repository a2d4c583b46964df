"""The watch: all processes together say each stop once when it begins and once when it ends."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import SecretStr
from structlog.testing import capture_logs

from dispatcher.app import running
from dispatcher.config import DatabaseSettings, Settings
from dispatcher.context import Context
from dispatcher.watch import Check, State, Watch
from tests.chaos.proxy import Link, link_to

BEAT_SQL = """
insert into worker (id, host, pid, started_at, seen_at)
values (gen_random_uuid(), 'h', 1, clock_timestamp(), clock_timestamp())
"""


async def turns(*watches: Watch) -> Sequence[Mapping[str, Any]]:
    """What all of them log in one turn each, side by side, when it is time for another look."""
    with suppress(TimeoutError):  # where the story keeps all connections
        await watches[0].ctx.pool.execute("update lookout set until = clock_timestamp()", timeout=1)
    with capture_logs() as lines:
        await asyncio.gather(*(watch.turn() for watch in watches))
    return [line for line in lines if line["event"].startswith("stop_")]


def told(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(line["event"], line["check"]) for line in lines]


async def test_a_stop_is_logged_once_when_it_begins_and_once_when_it_ends_however_many_watch(
    ctx: Context,
) -> None:
    watches = [Watch(ctx) for _ in range(3)]
    began = await turns(*watches)
    assert told(began) == [("stop_began", "workers")]
    assert began[0]["detail"] == "none seen for 30 s"
    assert began[0]["mend"] == "run tidings worker"
    assert await turns(*watches) == []
    await ctx.pool.execute(BEAT_SQL)
    # Whoever said that it began may have ended meanwhile.
    await ctx.pool.execute("update stop set since = since - interval '7 s'")
    (ended,) = await turns(Watch(ctx), Watch(ctx))
    assert (ended["event"], ended["check"]) == ("stop_ended", "workers")
    assert 7 <= ended["lasted_s"] < 60
    assert await turns(*watches) == []


async def test_one_look_is_enough_for_all_processes(ctx: Context) -> None:
    await turns(Watch(ctx))
    before = await ctx.pool.fetchval("select until from lookout")
    with capture_logs() as lines:
        await Watch(ctx).turn()
    assert lines == []
    assert await ctx.pool.fetchval("select until from lookout") == before


async def test_what_is_about_one_process_is_said_by_that_process(ctx: Context) -> None:
    await ctx.pool.execute(BEAT_SQL)
    heard = Check("listener", State.OK, "notifications arrive")
    deaf = Check("listener", State.DEGRADED, "notifications do not arrive")
    mine = [heard]
    one, other = Watch(ctx, lambda: mine), Watch(ctx, lambda: [deaf])
    assert told(await turns(one, other)) == [("stop_began", "listener")]
    mine[:] = [deaf]
    assert told(await turns(one, other)) == [("stop_began", "listener")]
    mine[:] = [heard]
    assert told(await turns(one, other)) == [("stop_ended", "listener")]


async def test_a_database_that_is_away_is_said_by_each_process_and_ends_no_other_stop(
    product_settings: Settings, database_url: str
) -> None:
    async with (
        link_to(database_url) as link,
        running(behind(product_settings, link)) as ctx,
    ):
        one, other = Watch(ctx), Watch(ctx)
        assert told(await turns(one, other)) == [("stop_began", "workers")]
        link.freeze()
        assert told(await turns(one, other)) == [("stop_began", "database")] * 2
        link.thaw()
        assert told(await turns(one, other)) == [("stop_ended", "database")] * 2
        await ctx.pool.execute(BEAT_SQL)
        assert told(await turns(one, other)) == [("stop_ended", "workers")]


def behind(settings: Settings, link: Link) -> Settings:
    """That soon gives up on a link through which nothing gets."""
    impatient = DatabaseSettings(
        url=SecretStr(link.dsn),
        statement_timeout_s=0.5,
        link_timeout_s=0.3,
        connect_timeout_s=0.5,
        pool_max=5,
    )
    return settings.model_copy(update={"database": impatient})
