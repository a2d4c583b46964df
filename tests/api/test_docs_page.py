"""The page at /docs in a real browser: it reads, it tries out, and it asks nobody else."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from dispatcher.context import Context
from dispatcher.web.openapi.docs_page import VENDORED, manifest
from dispatcher.web.scopes import Scope
from tests.flow.story import contact, post, seed, update
from tests.web.client import key_with
from tests.web.test_browser import CHROMIUM, SWITCHES

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium here")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield browser
        await browser.close()


def test_what_is_vendored_is_what_its_manifest_says() -> None:
    found = {
        path.name: f"sha384-{base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()}"
        for path in Path(str(VENDORED)).iterdir()
        if path.name != "manifest.json"
    }
    assert found == manifest()["files"]
    assert re.fullmatch(r"5\.\d+\.\d+", manifest()["version"])
    for name in found:
        assert b"sourceMappingURL" not in (VENDORED / name).read_bytes()


@needs_chromium
@pytest.mark.timeout(120)
async def test_an_operation_is_read_and_tried_out_with_a_key_under_a_strict_policy(
    browser: Browser, server: str, ctx: Context, tmp_path: Path
) -> None:
    await seed(ctx, [contact(1, "small")])
    await post(ctx, update(ctx))
    key = await key_with(ctx, Scope.ADMIN)
    complaints: list[str] = []
    asked: set[str] = set()
    page = await browser.new_page(viewport={"width": 1280, "height": 1400})
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text))
    page.on("request", lambda request: asked.add(request.url.split("/static")[0]))
    await page.add_init_script(
        "window.violations = [];"
        "document.addEventListener('securitypolicyviolation',"
        " event => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));"
    )
    answer = await page.goto(f"{server}/docs")
    policy = answer.headers["content-security-policy"] if answer else ""
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy

    await page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    await dialog.locator("input").first.fill(key)
    await dialog.get_by_role("button", name="Apply credentials").first.click()
    await dialog.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-Incidents-list_incidents")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    async with page.expect_response("**/v1/incidents*") as answered:
        await operation.get_by_role("button", name="Execute").click()
    assert (await answered.value).status == 200
    shown: Any = operation.locator(".live-responses-table .response").first
    await expect(shown).to_contain_text("Some customers cannot check out")
    await expect(shown).to_contain_text("ratelimit")
    made = page.locator("[id$=-post_source]")
    await made.locator(".opblock-summary-control").click()
    await made.get_by_role("button", name="Try it out").click()
    async with page.expect_response("**/v1/sources") as answered:
        await made.get_by_role("button", name="Execute").click()
    assert (await answered.value).status == 201
    await expect(made.locator(".live-responses-table .response").first).to_contain_text("src_")

    for width in (390, 768, 1200):
        await page.set_viewport_size({"width": width, "height": 900})
        await operation.scroll_into_view_if_needed()
        await page.screenshot(path=tmp_path / f"docs{width}.png")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.evaluate("window.violations") == []
    assert complaints == []
    assert all(url.startswith((server, "data:", "blob:")) for url in asked)
