"""What people see: the incident's page tells customers' facts only; unsubscribing takes one click."""

from datetime import timedelta
from typing import Any

import pytest
from yarl import URL

from dispatcher.context import Context
from dispatcher.ids import PAGE_KINDS
from dispatcher.stages.accept import AcceptedUpdate
from tests.flow.story import (
    MovableClock,
    contact,
    plan_out,
    post,
    release_all,
    seed,
    send_all,
    statuses,
    update,
)
from tests.web.client import Api

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def people(ctx: Context) -> None:
    await seed(ctx, [contact(1, "small"), contact(2, "small")])


async def tell(ctx: Context, **more: Any) -> AcceptedUpdate:
    accepted = await post(ctx, update(ctx, **more))
    await plan_out(ctx, accepted)
    return accepted


def page_of(ctx: Context, accepted: AcceptedUpdate) -> str:
    return f"/i/{ctx.signer.public_id('inc', accepted.incident_id)}"


async def token_of(ctx: Context, channel: int = 1) -> str:
    endpoint = await ctx.pool.fetchval(
        "select id from endpoint where channel = $1 order by id limit 1", channel
    )
    return ctx.signer.public_id("uns", endpoint)


@pytest.mark.usefixtures("people")
async def test_the_page_tells_customers_what_they_need(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    first = await tell(
        ctx,
        internal={"cause": "canary-cause", "script": "canary-script"},
        note="canary-note",
        facts={
            "cause": {"text": "canary-unconfirmed", "confirmed": False},
            "workaround": {"steps": ["Pay by invoice."], "validated_by": "canary-colleague"},
            "do_not": ["Do not pay twice."],
        },
    )
    clock.move(timedelta(minutes=5))
    await tell(ctx, status="identified", facts={"what_we_do": "We are <b>replacing</b> a part."})
    answer = await anonymous.get(page_of(ctx, first))
    assert answer.status == 200
    text = answer.body.decode()
    for said in (
        "Some customers cannot check out",
        "About one in five card payments fails at checkout.",
        "Card payments",
        "Pay by invoice.",
        "Do not pay twice.",
        "We are &lt;b&gt;replacing&lt;/b&gt; a part.",
        "Next update by",
        "Identified",
        "Investigating",
    ):
        assert said in text
    assert "canary" not in text
    assert "<script" not in text
    assert "style=" not in text


@pytest.mark.usefixtures("people")
async def test_after_the_end_old_advice_is_gone(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    first = await tell(ctx, facts={"workaround": {"steps": ["Pay by invoice."]}})
    clock.move(timedelta(minutes=95))
    await tell(ctx, status="resolved", facts={"next_update_by": None})
    text = (await anonymous.get(page_of(ctx, first))).body.decode()
    assert "after 1 hour 35 minutes" in text
    assert "Pay by invoice." not in text
    assert "Next update by" not in text


@pytest.mark.usefixtures("people")
async def test_of_what_is_over_with_its_first_word_the_page_says_neither_since_when_nor_how_long(
    anonymous: Api, ctx: Context
) -> None:
    over = {"status": "resolved", "facts": {"next_update_by": None}}
    text = (await anonymous.get(page_of(ctx, await tell(ctx, **over)))).body.decode()
    assert "Resolved: " in text
    assert ("less than a minute" in text, "Began" in text) == (False, False)


@pytest.mark.usefixtures("people")
async def test_after_the_end_only_what_was_noticed_before_is_called_so(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    path = page_of(ctx, await tell(ctx))
    clock.move(timedelta(minutes=95))
    await tell(ctx, status="resolved", facts={"next_update_by": None})
    inherited = (await anonymous.get(path)).body.decode()
    assert "What you may have noticed" in inherited
    clock.move(timedelta(minutes=5))
    again = {"impact": "Payments work again.", "next_update_by": None}
    await tell(ctx, status="resolved", facts=again)
    new = (await anonymous.get(path)).body.decode()
    clock.move(timedelta(minutes=5))
    await tell(ctx, status="resolved", facts=again | {"what_we_do": "We check it daily now."})
    later = (await anonymous.get(path)).body.decode()
    assert "We check it daily now." in later
    mail = await ctx.pool.fetchval(
        "select parts ->> 'text' from rendering where channel = 1 order by update_id desc limit 1"
    )
    assert "We check it daily now." in mail
    assert "Payments work again." in mail
    assert "NOTICE" not in mail
    for text in (new, later):
        assert '<p class="prose">Payments work again.</p>' in text
        assert "notice" not in text


@pytest.mark.parametrize("visibility", ["accounts", "internal"])
@pytest.mark.usefixtures("people")
async def test_a_narrow_circle_has_a_link_of_its_own_and_the_common_one_shows_nothing(
    anonymous: Api, ctx: Context, visibility: str
) -> None:
    await seed(ctx, [contact(9, "staff")])
    await ctx.pool.execute("update account set segment = 'internal' where external_id = 'staff'")
    accepted = await tell(
        ctx, incident={"visibility": visibility}, audience={"account_ids": ["small"]}
    )
    assert (await anonymous.get(page_of(ctx, accepted))).status == 404
    own = ctx.signer.public_id(PAGE_KINDS[visibility], accepted.incident_id)
    assert (await anonymous.get(f"/i/{own}")).status == 200


@pytest.mark.usefixtures("people")
async def test_an_incident_that_was_narrowed_tells_holders_of_the_old_link_no_more(
    anonymous: Api, ctx: Context
) -> None:
    first = await tell(ctx)
    await tell(
        ctx,
        incident={"visibility": "accounts"},
        audience={"account_ids": ["small"]},
        facts={"impact": "Only some may know this."},
    )
    common = (await anonymous.get(page_of(ctx, first))).body.decode()
    assert "Some customers cannot check out" in common
    assert "Only some may know this." not in common
    own = ctx.signer.public_id(PAGE_KINDS["accounts"], first.incident_id)
    assert "Only some may know this." in (await anonymous.get(f"/i/{own}")).body.decode()


@pytest.mark.usefixtures("people")
async def test_the_link_that_the_public_gets_does_not_tell_what_only_customers_were_told(
    anonymous: Api, ctx: Context
) -> None:
    first = await tell(ctx, facts={"what_we_do": "Only customers know this."})
    await tell(
        ctx, incident={"visibility": "public"}, facts={"what_we_do": "Everybody knows this."}
    )
    public = ctx.signer.public_id(PAGE_KINDS["public"], first.incident_id)
    text = (await anonymous.get(f"/i/{public}")).body.decode()
    assert "Everybody knows this." in text
    assert "Only customers know this." not in text
    assert "Only customers know this." in (await anonymous.get(page_of(ctx, first))).body.decode()


@pytest.mark.usefixtures("people")
async def test_drafts_and_undecided_updates_are_not_shown(anonymous: Api, ctx: Context) -> None:
    draft = await post(ctx, update(ctx, mode="draft"))
    assert (await anonymous.get(page_of(ctx, draft))).status == 404
    accepted = await post(ctx, update(ctx))
    assert (await anonymous.get(page_of(ctx, accepted))).status == 404


@pytest.mark.parametrize("name", ["x", "inc_x", "upd_aaaaaaaaaaaaaaaaaaaaaaaaaa", "%00"])
async def test_a_page_cannot_be_guessed(anonymous: Api, ctx: Context, name: str) -> None:
    assert (await anonymous.get(f"/i/{name}")).status == 404
    unknown = ctx.signer.public_id("inc", 999)
    assert (await anonymous.get(f"/i/{unknown}")).status == 404


@pytest.mark.usefixtures("people")
async def test_the_page_is_cached_by_its_content(anonymous: Api, ctx: Context) -> None:
    path = page_of(ctx, await tell(ctx))
    first = await anonymous.get(path)
    assert "style-src 'self'" in first.headers["Content-Security-Policy"]
    same = await anonymous.get(path, **{"If-None-Match": first.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")
    await tell(ctx, status="identified", facts={"impact": "All payments fail."})
    assert (await anonymous.get(path, **{"If-None-Match": first.headers["ETag"]})).status == 200


@pytest.mark.usefixtures("people")
async def test_fetching_the_link_changes_nothing_however_often(
    anonymous: Api, ctx: Context
) -> None:
    path = f"/u/{await token_of(ctx)}"
    for _ in range(5):
        page = await anonymous.get(path)
        assert page.status == 200
        assert b'<form method="post"' in page.body
    assert await ctx.pool.fetchval("select count(*) from suppression") == 0


@pytest.mark.usefixtures("people")
async def test_whoever_shares_an_inbox_is_told_that_the_button_stops_it_for_all(
    anonymous: Api, ctx: Context
) -> None:
    page = await anonymous.get(f"/u/{await token_of(ctx)}")
    assert b"If several people share it, this stops messages for all of them." in page.body


@pytest.mark.parametrize(
    ("headers", "raw"),
    [
        (FORM, b"List-Unsubscribe=One-Click"),
        (FORM, b""),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--',
        ),
        ({}, b""),
    ],
    ids=["mail client", "button", "multipart", "nothing"],
)
@pytest.mark.usefixtures("people")
async def test_one_click_unsubscribes_without_cookie_or_redirect(
    anonymous: Api, ctx: Context, headers: dict[str, str], raw: bytes
) -> None:
    token = await token_of(ctx)
    bodies = set()
    for _ in range(2):
        answer = await anonymous.call("POST", f"/u/{token}", raw=raw, headers=headers)
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers
        bodies.add(answer.body)
    assert len(bodies) == 1
    rows = await ctx.pool.fetch("select channel, source from suppression")
    assert [(row["channel"], row["source"]) for row in rows] == [(1, "unsubscribe")]
    noted = await ctx.pool.fetch("select actor, action from audit where action = 'unsubscribe'")
    assert [row["actor"] for row in noted] == ["recipient"]


@pytest.mark.usefixtures("people")
async def test_nothing_leaves_after_the_click_even_if_it_was_planned(
    anonymous: Api, ctx: Context
) -> None:
    accepted = await tell(ctx)
    await release_all(ctx)
    await anonymous.call("POST", f"/u/{await token_of(ctx)}")
    async with ctx.pool.acquire() as conn:
        await conn.execute("update slice set state = 0 where state = 1")
    await ctx.pool.execute("update sender set paused_until = null")
    await send_all(ctx)
    assert (await statuses(ctx, accepted.dispatch_id))["suppressed"] == 1


@pytest.mark.usefixtures("people")
async def test_forged_tokens_are_not_found_and_tell_nothing(anonymous: Api, ctx: Context) -> None:
    token = await token_of(ctx)
    forged = [
        token[:-1] + ("a" if token[-2] != "a" else "b") + "c",
        token.replace("uns_", "inc_"),
        ctx.signer.public_id("inc", 1),
        "uns_" + "a" * 26,
        "x",
    ]
    bodies = set()
    for bad in forged:
        for method in ("GET", "POST"):
            answer = await anonymous.call(method, f"/u/{bad}")
            assert answer.status == 404
            bodies.add(answer.body)
    assert len(bodies) == 1
    nobody = ctx.signer.public_id("uns", 10**6)
    assert (await anonymous.call("POST", f"/u/{nobody}")).status == 200
    assert await ctx.pool.fetchval("select count(*) from suppression") == 0


@pytest.mark.parametrize("name", ["pages.css", "banner.js", "demo.js", "icon.svg"])
async def test_static_files_have_their_type_and_an_etag(anonymous: Api, name: str) -> None:
    answer = await anonymous.get(f"/static/{name}")
    assert answer.headers["Content-Type"].startswith(("text/", "image/svg+xml"))
    same = await anonymous.get(f"/static/{name}", **{"If-None-Match": answer.headers["ETag"]})
    assert same.status == 304


@pytest.mark.parametrize("name", ["..%2fapp.py", "app.py", "%2e%2e", "..", "%2e%2e%2fapp.py", ""])
async def test_nothing_else_is_served_from_the_folder(anonymous: Api, name: str) -> None:
    # A client would tidy the address up, and ask for something else.
    url = URL(f"{anonymous.base}/static/{name}", encoded=True)
    async with anonymous.session.get(url, allow_redirects=False) as answer:
        assert answer.status == 404
