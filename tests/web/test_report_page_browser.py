"""The report in a real browser: obeys its policy, can be read by everybody, and moves by itself."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from dispatcher.context import Context
from dispatcher.web.app import make_runner
from dispatcher.web.report_page.links import make_link
from tests.flow.story import MovableClock
from tests.report.rows import at
from tests.web.report_story import Story, prove, tell_story
from tests.web.test_browser import CHROMIUM, SWITCHES

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium here: apt-get install chromium"),
    pytest.mark.timeout(180),
]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
# Contrast is the same at every width, so the dark scheme is judged at one of them.
WIDTHS: dict[int, tuple[Literal["light", "dark"], ...]] = {
    360: ("light",),
    768: ("light", "dark"),
    1280: ("light",),
}
SIZES_OF_TEXT = """[...document.querySelectorAll("svg text")]
    .map(text => parseFloat(getComputedStyle(text).fontSize))"""
TEXT_OUTSIDE = """[...document.querySelectorAll("svg text")].filter(text => {
    const box = text.getBoundingClientRect();
    const frame = text.closest(".chart").getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
}).map(text => text.textContent)"""

Open = Callable[[BrowserContext], Awaitable[Page]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(at(600))


@pytest.fixture
async def runner(ctx: Context, listening: socket.socket) -> AsyncIterator[web.AppRunner]:
    """The web process, which a test may end."""
    runner = make_runner(ctx)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    yield runner
    await runner.cleanup()


@pytest.fixture
def server(ctx: Context, runner: web.AppRunner) -> str:
    """The base URL."""
    assert runner.addresses
    return ctx.settings.public_url


@pytest.fixture
async def story(ctx: Context) -> AsyncIterator[Story]:
    async with ctx.pool.acquire() as conn:
        yield await tell_story(ctx, conn)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield browser
        await browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser said against the pages: errors, and what the policy stopped."""
    return []


@pytest.fixture
def listen_to(complaints: list[str]) -> Callable[[Page], None]:
    def listen(page: Page) -> None:
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(f"{line.type}: {line.text}"))

    return listen


@pytest.fixture
def open_report(ctx: Context, server: str, story: Story, listen_to: Callable[[Page], None]) -> Open:
    """Opens the report by a fresh link, coming from another site as from a web mailer."""

    async def opened(context: BrowserContext) -> Page:
        async with ctx.pool.acquire() as conn:
            link = await make_link(conn, ctx, story.book.dispatch)
        page = await context.new_page()
        listen_to(page)
        mailer = server.replace("127.0.0.1", "localhost")
        await page.goto(f"{mailer}/problems")
        # As a click there: the browser then knows that the other site began it.
        await page.evaluate("url => { location.href = url }", link.url)
        await page.wait_for_url(f"**{story.path}")
        await expect(page.locator("h1")).to_have_text("Some customers cannot pay by card")
        return page

    return opened


async def faults_of(page: Page) -> list[str]:
    """What axe finds. Run by the debugger, since the page's own policy rightly lets no foreign script in."""
    debugger = await page.context.new_cdp_session(page)
    await debugger.send("Runtime.evaluate", {"expression": AXE})
    found: dict[str, Any] = await page.evaluate("axe.run()")
    return [f"{item['id']}: {item['nodes'][0]['html']}" for item in found["violations"]]


async def test_both_pages_are_clean_at_three_widths_in_light_and_dark(
    browser: Browser, open_report: Open, complaints: list[str], tmp_path: Path
) -> None:
    page = await open_report(await browser.new_context())
    for place in ("", "/accounts/big%20%26%20co"):
        if place:
            await page.goto(f"{page.url}{place}")
        for width, schemes in WIDTHS.items():
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert min(await page.evaluate(SIZES_OF_TEXT), default=12) >= 12
            assert await page.evaluate(TEXT_OUTSIDE) == []
            for scheme in schemes:
                await page.emulate_media(color_scheme=scheme)
                assert await faults_of(page) == [], f"{place} at {width}, {scheme}"
                name = f"report{len(place)}-{width}-{scheme}.png"
                await page.screenshot(path=tmp_path / name, full_page=True)
    assert complaints == []


async def test_counts_move_without_a_reload_and_are_right_after_a_break(
    browser: Browser,
    open_report: Open,
    ctx: Context,
    story: Story,
    listening: socket.socket,
    runner: web.AppRunner,
) -> None:
    page = await open_report(await browser.new_context())
    await page.evaluate("document.body.dataset.loaded = 'once'")
    proof = page.locator("[data-channel=email] [data-count=proof]")
    await expect(page.locator("[data-live-state]")).to_contain_text("kept up to date")
    await expect(proof).to_have_text("2")
    await prove(story)
    await expect(proof).to_have_text("3")
    await expect(page.locator("[data-tiles] div")).to_have_count(4)
    await expect(page.locator("[data-live-said]")).to_contain_text("Sending now: ")
    port = listening.getsockname()[1]
    await runner.cleanup()
    await expect(page.locator("[data-live-state]")).to_contain_text("trying again")
    await ctx.pool.execute(
        "update slice set n_by_status[4] = 1, n_by_status[3] = 2 where id = $1", story.email
    )
    again = make_runner(ctx)
    await again.setup()
    await web.TCPSite(again, "127.0.0.1", port).start()
    await expect(proof).to_have_text("2")
    await expect(page.locator("[data-live-state]")).to_contain_text("kept up to date")
    assert await page.evaluate("document.body.dataset.loaded") == "once"
    await again.cleanup()


async def test_everything_is_there_without_script(
    browser: Browser,
    ctx: Context,
    server: str,
    story: Story,
    complaints: list[str],
    listen_to: Callable[[Page], None],
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    listen_to(page)
    async with ctx.pool.acquire() as conn:
        link = await make_link(conn, ctx, story.book.dispatch)
    assert link.url.startswith(server)
    await page.goto(link.url)
    await expect(page.locator("[data-headline]")).to_contain_text("2 must be phoned.")
    await expect(page.locator("[data-channel=email] [data-count=proof]")).to_have_text("2")
    await page.get_by_label("Find a customer").fill("big")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("table", name="Customers found").get_by_role("link").click()
    await expect(page.locator("h1")).to_have_text("Big & Co")
    assert complaints == []
