"""The report as its reader gets it: who may open it, and what it says to whom."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from html import unescape

import pytest

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.stages.report import run_export
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.ids import DISPATCH, EXPORT
from dispatcher.web.keys import revoke_key
from dispatcher.web.report_page.links import Grant, make_link, make_token
from dispatcher.web.report_page.live import MAX_STREAMS_PER_DISPATCH, Live
from dispatcher.web.scopes import Scope
from tests.flow.story import MovableClock
from tests.report.rows import at
from tests.web.client import Answer, Api, Events, events_of, key_with
from tests.web.report_story import PHONE, WORDS, Story, prove, tell_story

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(at(600))


@pytest.fixture
async def conn(ctx: Context) -> AsyncIterator[Connection]:
    async with ctx.pool.acquire() as conn:
        yield conn


@pytest.fixture
async def story(ctx: Context, conn: Connection) -> Story:
    return await tell_story(ctx, conn)


@pytest.fixture
async def reader(anonymous: Api, ctx: Context) -> Api:
    return anonymous.bearing(await key_with(ctx, Scope.DELIVERIES_READ))


def text_of(answer: Answer) -> str:
    """What stands on the page, tags and line breaks left out."""
    assert answer.status == 200, answer.body
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", answer.body.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def links_of(story: Story) -> str:
    return story.path.replace("/reports", "/v1/dispatches") + "/links"


async def opened(api: Api, url: str) -> Api:
    """Somebody who has opened the link: their browser holds the cookie now."""
    answer = await api.get(url.removeprefix(api.base))
    assert answer.status == 200, answer.body
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    return Api(api.session, api.base, {"Cookie": f"{name}={rest.partition(';')[0]}"})


async def linked(api: Api, ctx: Context, story: Story, **more: object) -> Api:
    """Somebody with a fresh link and nothing else."""
    async with ctx.pool.acquire() as conn:
        link = await make_link(conn, ctx, story.book.dispatch, **more)  # type: ignore[arg-type] # as given
    return await opened(api, link.url)


async def test_the_page_says_first_how_many_were_told_and_who_must_be_phoned(
    reader: Api, story: Story
) -> None:
    text = text_of(await reader.get(story.path))
    assert "2 of 5 people have proof of the notice; 2 must be phoned." in text
    assert text.index("must be phoned.") < text.index("Who must be phoned")
    assert "First notice" in text
    assert "1 person should have been told but was not" in text
    assert "for 1 person nobody knows whether the message left" in text
    assert (
        "E-mail: The address does not exist. Tell them yourself, then correct the address." in text
    )
    assert "Half of all people" not in text  # two of five are no half


async def test_the_account_page_says_what_was_told_when_and_in_which_words(
    reader: Api, story: Story
) -> None:
    text = text_of(await reader.get(f"{story.path}/accounts/big%20%26%20co"))
    assert "1 of 2 people has proof" not in text
    assert "1 of 2 people have proof of the notice; 1 must be phoned." in text
    assert "The first of them was told at 12:00:04 UTC, Sun 22 Nov 2026 (13:00 in Berlin)" in text
    assert WORDS in text
    assert "12:00:10 UTC (13:00 in Berlin) delivered" in text
    assert "B••• Not told: phone them" in text
    assert "E•••" not in text


async def test_names_and_addresses_are_masked_without_the_right_to_see_them(
    anonymous: Api, reader: Api, ctx: Context, story: Story
) -> None:
    full = await key_with(ctx, Scope.DELIVERIES_READ, Scope.RECIPIENTS_READ_PII)
    for path in (story.path, f"{story.path}/accounts/big%20%26%20co"):
        masked = text_of(await reader.get(path))
        assert PHONE not in masked
        assert "@example.com" not in masked.replace("•••@example.com", "")
        shown = text_of(await anonymous.bearing(full).get(path))
        assert PHONE in shown
        assert ("Bob" in masked, "Bob" in shown) == (False, True)


async def test_a_customer_is_found_by_part_of_the_name_or_by_number(
    reader: Api, story: Story
) -> None:
    text = text_of(await reader.get(f"{story.path}?q=BIG"))
    assert "1 customer matching “BIG”" in text
    answer = await reader.get(f"{story.path}?q=big%20%26%20co")
    assert (answer.status, answer.headers["Location"]) == (
        303,
        f"{story.path}/accounts/big%20%26%20co",
    )
    assert "0 customers matching “<b>”" in text_of(await reader.get(f"{story.path}?q=%3Cb%3E"))


async def test_pages_keep_their_content_out_of_caches_frames_and_scripts(
    reader: Api, story: Story
) -> None:
    for path in (story.path, f"{story.path}/accounts/small"):
        answer = await reader.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert b"style=" not in answer.body
        assert re.search(rb"\son\w+=", answer.body) is None


async def test_without_a_right_the_page_says_how_to_get_one_whether_it_exists_or_not(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    nowhere = f"/reports/{ctx.signer.public_id(DISPATCH, 10**6)}"
    bodies = set()
    for path in (story.path, nowhere, "/reports/x", f"{story.path}/events", "/r/x"):
        answer = await anonymous.get(path)
        assert answer.status == 403
        assert b"Ask whoever sent it to you for a new link." in answer.body
        bodies.add(answer.body)
    assert len(bodies) == 1


async def test_a_key_without_the_scope_is_told_which_it_lacks(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    other = anonymous.bearing(await key_with(ctx, Scope.INCIDENTS_READ))
    answer = await other.get(story.path)
    assert (answer.status, answer.kind) == (403, "missing-scope")
    assert (
        await other.call("POST", f"/v1{story.path}/links".replace("reports", "dispatches"), {})
    ).status == 403


async def test_a_link_opens_the_report_and_its_token_stays_out_of_the_address(
    anonymous: Api, reader: Api, story: Story
) -> None:
    made = await reader.call("POST", links_of(story), {})
    assert made.status == 201
    url = made.json["url"]
    answer = await anonymous.get(url.removeprefix(anonymous.base))
    cookie = answer.headers["Set-Cookie"]
    assert f"Path={story.path};" in cookie
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert f"0; url={story.path}".encode() in answer.body
    assert url.rpartition("/")[2].encode() not in answer.body
    visitor = await opened(anonymous, url)
    assert "must be phoned." in text_of(await visitor.get(story.path))
    assert PHONE not in text_of(await visitor.get(story.path))


async def test_a_link_shows_addresses_only_if_whoever_made_it_may_see_them(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    full = await key_with(ctx, Scope.DELIVERIES_READ, Scope.RECIPIENTS_READ_PII)
    path = links_of(story)
    made = await anonymous.bearing(full).call("POST", path, {"expires_in_hours": 1})
    visitor = await opened(anonymous, made.json["url"])
    assert PHONE in text_of(await visitor.get(story.path))


async def test_a_link_to_one_account_opens_no_other_page(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    visitor = await linked(anonymous, ctx, story, account="small")
    text = text_of(await visitor.get(f"{story.path}/accounts/small"))
    assert "E•••" in text
    for path in ("", "/events", "/accounts/big%20%26%20co"):
        assert (await visitor.get(f"{story.path}{path}")).status == 403
    assert b"Report of this notice" not in (await visitor.get(f"{story.path}/accounts/small")).body


async def test_a_link_opens_no_other_dispatch(anonymous: Api, ctx: Context, story: Story) -> None:
    visitor = await linked(anonymous, ctx, story)
    await story.book.open(moment=at(60))
    other = ctx.signer.public_id(DISPATCH, story.book.dispatch)
    assert (await visitor.get(f"/reports/{other}")).status == 403


async def test_a_link_ends_when_it_said_it_would(
    anonymous: Api, ctx: Context, story: Story, clock: MovableClock
) -> None:
    visitor = await linked(anonymous, ctx, story, hours=1)
    clock.move(timedelta(minutes=59))
    assert (await visitor.get(story.path)).status == 200
    clock.move(timedelta(minutes=2))
    assert (await visitor.get(story.path)).status == 403


async def test_a_link_ends_with_the_key_that_made_it(
    anonymous: Api, reader: Api, ctx: Context, story: Story, conn: Connection
) -> None:
    path = links_of(story)
    url = (await reader.call("POST", path, {})).json["url"]
    visitor = await opened(anonymous, url)
    key_id = reader.headers["Authorization"].split("_")[2]
    assert await revoke_key(conn, key_id, now=ctx.now())
    assert (await visitor.get(story.path)).status == 403
    assert (await anonymous.get(url.removeprefix(anonymous.base))).status == 403


async def test_a_link_cannot_be_forged_or_widened(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    grant = Grant(
        dispatch=story.book.dispatch,
        account=None,
        read_pii=False,
        until=ctx.now() + timedelta(hours=1),
    )
    token = make_token(ctx.signer, grant)
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        forged = token[:place] + other + token[place + 1 :]
        answer = await anonymous.get(f"/r/{forged}")
        # The last character holds two bits that stand for nothing.
        assert answer.status == 403 or place == len(token) - 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"expires_in_hours": 0}, 422),
        ({"expires_in_hours": 721}, 422),
        ({"account": "nobody"}, 404),
        ({"scope": "all"}, 422),
    ],
)
async def test_a_link_that_makes_no_sense_is_refused(
    reader: Api, story: Story, body: dict[str, object], status: int
) -> None:
    path = links_of(story)
    assert (await reader.call("POST", path, body)).status == status


async def test_every_link_made_is_in_the_audit_log_without_its_token(
    reader: Api, story: Story, conn: Connection
) -> None:
    path = links_of(story)
    made = await reader.call("POST", path, {"account": "small"})
    row = await conn.fetchrow("select * from audit where action = 'report.link'")
    assert row is not None
    assert row["detail"] == {"account": "small", "hours": 72, "addresses": False}
    assert made.json["url"].rpartition("/")[2] not in str(dict(row))


async def test_the_stream_tells_the_whole_state_first_and_again_when_something_moves(
    reader: Api, story: Story
) -> None:
    async with stream(reader, story) as events:
        name, first = await events.next()
        assert name == "progress"
        (email,) = [row for row in first["channels"] if row["channel"] == "email"]
        assert (email["total"], email["settled"], email["proof"]) == (5, 5, 2)
        assert [tile[0] for tile in first["tiles"]] == []  # nobody has counted yet
        seen = int(events.last_id)
        await prove(story)
        _, second = await events.next()
        (email,) = [row for row in second["channels"] if row["channel"] == "email"]
        assert email["proof"] == 3
        assert int(events.last_id) > seen
    async with stream(reader, story) as events:
        assert (await events.next())[1]["channels"] == second["channels"]
        await reader.get(story.path)  # which counts
        _, third = await events.next()
        assert [part["text"] for part in third["headline"]] == [
            "3 of 5 people have proof of the notice;",
            "2 must be phoned.",
        ]
        assert third["tiles"][0][:2] == ["Told", "3"]


async def test_the_stream_ends_when_nothing_more_is_to_be_expected(
    reader: Api, story: Story, conn: Connection, ctx: Context
) -> None:
    await conn.execute(
        "update dispatch set state = 'completed', completed_at = $1", ctx.now() - timedelta(days=1)
    )
    async with stream(reader, story) as events:
        assert [(await events.next())[0] for _ in range(3)] == ["progress", "end", "end"]
        assert events.response.content.at_eof()


def stream(api: Api, story: Story) -> AbstractAsyncContextManager[Events]:
    return events_of(api, path=f"{story.path}/events")


async def test_a_download_is_asked_for_waited_for_and_fetched_without_script(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    visitor = await linked(anonymous, ctx, story)
    asked = await visitor.call("POST", f"{story.path}/files", raw=b"format=csv", headers=FORM)
    assert asked.status == 303
    place = asked.headers["Location"]
    waiting = await visitor.get(place)
    assert b'http-equiv="refresh"' in waiting.body
    assert "0 lines so far" in text_of(waiting)
    number = ctx.signer.read_public_id(EXPORT, place.rpartition("/")[2])
    await run_export(ctx, number)
    assert "Your file is ready" in text_of(await visitor.get(place))
    file = await visitor.get(f"{place}/csv")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert b"Big & Co" in file.body
    assert PHONE.encode() not in file.body


async def test_files_of_others_and_forms_of_other_sites_are_refused(
    anonymous: Api, ctx: Context, story: Story
) -> None:
    full = await linked(anonymous, ctx, story, read_pii=True)
    place = (
        await full.call("POST", f"{story.path}/files", raw=b"format=xlsx", headers=FORM)
    ).headers["Location"]
    masked = await linked(anonymous, ctx, story)
    assert (await full.get(place)).status == 200
    assert (await masked.get(place)).status == 404
    assert (await full.get(f"{place}/xlsx")).status == 404  # not made yet
    foreign = {**FORM, "Sec-Fetch-Site": "cross-site"}
    answer = await full.call("POST", f"{story.path}/files", raw=b"format=csv", headers=foreign)
    assert answer.status == 403
    assert (
        await anonymous.call("POST", f"{story.path}/files", raw=b"", headers=FORM)
    ).status == 403


async def test_readers_of_one_dispatch_share_one_look_and_their_number_is_limited(
    ctx: Context, story: Story
) -> None:
    live = Live(ctx)
    async with AsyncExitStack() as stack:
        watches = {
            await stack.enter_async_context(live.reader(story.book.dispatch))
            for _ in range(MAX_STREAMS_PER_DISPATCH)
        }
        (watch,) = watches
        assert await watch.after(None, within_s=10) is not None
        with pytest.raises(WebRefusedError) as refused:
            await stack.enter_async_context(live.reader(story.book.dispatch))
        assert refused.value.kind == "too-many-streams"
        looking = watch.looking
        assert looking is not None
        assert not looking.done()
    await asyncio.wait([looking], timeout=10)
    assert looking.cancelled()
