"""`tidings watch` and `tidings report --link`: a dispatch followed, and shown to others."""

from typing import Any

import orjson

from dispatcher.app import running
from dispatcher.cli.watch import follow
from dispatcher.config import Settings
from dispatcher.db import Connection
from dispatcher.ids import Signer
from tests.cli.conftest import Tidings
from tests.flow.story import MovableClock
from tests.report.rows import at
from tests.web.report_story import Story, prove, tell_story

SIGNER = Signer(b"a secret for tests, which is long enough")


async def story_of(settings: Settings, conn: Connection, **more: Any) -> Story:
    async with running(settings, MovableClock(at(600))) as ctx:
        return await tell_story(ctx, conn, **more)


async def test_every_change_is_told_whole_until_the_dispatch_is_over(
    settings: Settings, conn: Connection
) -> None:
    async with running(settings, MovableClock(at(600))) as ctx:
        story = await tell_story(ctx, conn)
        states = follow(ctx, story.book.dispatch)
        assert [row.proof for row in (await anext(states)).channels] == [2, 1, 1, 0]
        await prove(story)
        assert [row.proof for row in (await anext(states)).channels] == [3, 1, 1, 0]
        await conn.execute("update dispatch set state = 'completed', completed_at = $1", at(600))
        assert [state.state async for state in states] == ["completed"]


async def test_a_finished_dispatch_is_told_once_as_a_line_of_json(
    tidings: Tidings, settings: Settings, conn: Connection
) -> None:
    await story_of(settings, conn, state="completed")
    found = await tidings("watch", "--json")
    (line,) = found.out.splitlines()
    told = orjson.loads(line)
    assert found.code == 0
    assert (told["state"], told["over"]) == ("completed", True)
    assert told["channels"][0]["channel"] == "email"
    drawn = await tidings("watch")
    assert "5/5" in drawn.out
    assert "2 with proof" in drawn.out
    await conn.execute("delete from slice where channel in (2, 3)")
    drawn = await tidings("watch")
    assert "?" not in drawn.out, "a channel with nothing is not shown at the end"
    assert [line.split()[0] for line in drawn.out.splitlines()] == ["email", "banner"]


async def test_what_cannot_be_followed_to_its_end_says_so_by_its_code(
    tidings: Tidings, settings: Settings, conn: Connection
) -> None:
    nothing = await tidings("watch")
    assert (nothing.code, nothing.out.splitlines()[0][:27]) == (0, "No update has been sent yet")
    story = await story_of(settings, conn, state="cancelled")
    assert (await tidings("watch")).code == 1
    assert (await tidings("watch", "dsp_x")).code == 2
    await conn.execute("update incident_update set state = 'failed', state_detail = 'no words'")
    failed = await tidings("watch", story.path.rpartition("/")[2])
    assert (failed.code, "no words" in failed.err) == (1, True)


async def test_a_link_is_printed_and_needs_something_to_show(
    tidings: Tidings, settings: Settings, conn: Connection
) -> None:
    assert (await tidings("report", "--link")).code == 2
    await story_of(settings, conn)
    for more in ([], ["--account", "small", "--hours", "5"]):
        found = await tidings("report", "--link", *more)
        assert (found.code, "/r/" in found.out) == (0, True)
    assert (await tidings("report", "--link", "--account", "nobody")).code == 2
    assert (await tidings("report", "--account", "small")).code == 2
