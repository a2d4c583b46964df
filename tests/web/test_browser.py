"""Real pages in a real browser: the banner as a user sees it, nothing against the policy."""

import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from playwright.async_api import Route as RouteOfPage

from dispatcher.context import Context
from dispatcher.web.banner.token import make_banner_token
from tests.flow.story import apply_receipts, contact, plan_out, post, seed, statuses, update
from tests.web.conftest import PAGE_ORIGIN

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium here: apt-get install chromium"),
    pytest.mark.timeout(180),
]
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=LocalNetworkAccessChecks",  # the product of a test is on this machine
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield browser
        await browser.close()


@pytest.fixture
async def complaints() -> list[str]:
    """What the browser said against the page: errors, and what the policy stopped."""
    return []


@pytest.fixture
async def page(browser: Browser, complaints: list[str]) -> Page:
    page = await browser.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None,
    )
    return page


async def announce(ctx: Context, **more: Any) -> int | None:
    accepted = await post(ctx, update(ctx, **more))
    await plan_out(ctx, accepted)
    return accepted.dispatch_id


async def displayed(ctx: Context, dispatch_id: int | None) -> int:
    await apply_receipts(ctx)
    return (await statuses(ctx, dispatch_id)).get("displayed", 0)


async def test_the_banner_appears_changes_is_dismissed_and_returns(
    page: Page, server: str, ctx: Context, complaints: list[str], tmp_path: Path
) -> None:
    await seed(ctx, [contact(1, "small")])
    dispatch_id = await announce(ctx)
    await page.goto(f"{server}/demo/banner?user=user-1")
    banner = page.locator("tidings-banner .item")
    await expect(banner).to_contain_text("Major incident: Some customers cannot check out")
    await expect(page.locator("tidings-banner [role=status] .item")).to_have_count(1)
    await page.screenshot(path=tmp_path / "banner.png")
    async with page.expect_response("**/v1/banner/receipts") as dismissed:
        await banner.get_by_role("button", name="Dismiss: Some customers cannot check out").click()
    assert (await dismissed.value).status == 204
    await expect(banner).to_have_count(0)
    assert await displayed(ctx, dispatch_id) == 1
    await page.reload()
    await expect(page.locator("#state")).to_have_text("Connected.")
    await expect(banner).to_have_count(0)
    await announce(
        ctx, status="identified", facts={"impact": "<img src=x onerror=alert(1)> fails."}
    )
    await expect(banner).to_contain_text("<img src=x onerror=alert(1)> fails.")
    await announce(ctx, status="resolved", facts={"next_update_by": None})
    await expect(banner.locator("strong")).to_have_text("Resolved: Some customers cannot check out")
    await expect(banner).to_have_count(1)
    assert complaints == []


HOST_PAGE = """<!doctype html><title>A product</title><div id="banner"></div>
<script async src="{base}/banner/v1.js" data-token-url="/me/banner-token" data-mount="#banner"></script>"""


async def test_one_line_in_a_page_of_a_customer_shows_the_banner_under_its_own_strict_policy(
    page: Page, server: str, ctx: Context, complaints: list[str]
) -> None:
    """The product's backend makes tokens; one that is refused is asked for again."""
    await seed(ctx, [contact(1, "small")])
    policy = f"default-src 'none'; script-src {server}; connect-src 'self' {server}"
    tokens = [
        make_banner_token(ctx, "user-1", "small", ctx.now() - timedelta(hours=3)),
        make_banner_token(ctx, "user-1", "small", ctx.now()),
    ]

    async def product(route: RouteOfPage) -> None:
        if route.request.url.endswith("/me/banner-token"):
            await route.fulfill(json={"token": tokens.pop(0)})
        else:
            body = HOST_PAGE.format(base=server)
            headers = {"Content-Security-Policy": policy, "Content-Type": "text/html"}
            await route.fulfill(body=body, headers=headers)

    await page.route(f"{PAGE_ORIGIN}/**", product)
    await page.goto(f"{PAGE_ORIGIN}/orders")
    await announce(ctx)
    banner = page.locator("#banner > tidings-banner .item")
    await expect(banner).to_contain_text("Major incident: Some customers cannot check out")
    assert tokens == []
    assert [text for text in complaints if "401" not in text] == []


async def test_a_critical_incident_is_announced_as_an_alert(
    page: Page, server: str, ctx: Context, complaints: list[str]
) -> None:
    await seed(ctx, [contact(1, "small")])
    await page.goto(f"{server}/demo/banner?user=user-1")
    await expect(page.locator("#state")).to_have_text("Connected.")
    await announce(ctx, incident={"severity": "P0"})
    await expect(page.locator("tidings-banner [role=alert] .item")).to_have_count(1)
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_incident_page_obeys_its_policy_and_can_be_read_in_both_schemes(
    browser: Browser, server: str, ctx: Context, scheme: Any, tmp_path: Path
) -> None:
    await seed(ctx, [contact(1, "small")])
    accepted = await post(ctx, update(ctx, facts={"workaround": {"steps": ["Pay by invoice."]}}))
    await plan_out(ctx, accepted)
    complaints: list[str] = []
    page = await browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page.on("console", lambda line: complaints.append(line.text))
    await page.goto(f"{server}/i/{ctx.signer.public_id('inc', accepted.incident_id)}")
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "Some customers cannot check out"
    )
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 29)"}[scheme]
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.screenshot(path=tmp_path / "incident.png", full_page=True)
    assert complaints == []


async def test_the_button_unsubscribes(
    page: Page, server: str, ctx: Context, complaints: list[str]
) -> None:
    await seed(ctx, [contact(1, "small")])
    endpoint = await ctx.pool.fetchval("select id from endpoint where channel = 1")
    await page.goto(f"{server}/u/{ctx.signer.public_id('uns', endpoint)}")
    await page.get_by_role("button", name="Stop these messages").click()
    await expect(page.get_by_role("heading")).to_have_text(
        "Done. We will not write to this address again"
    )
    assert await ctx.pool.fetchval("select count(*) from suppression") == 1
    assert complaints == []
