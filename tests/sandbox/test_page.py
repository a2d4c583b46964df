"""The page: what arrived, escaped, shut in, readable without scripts and on a small screen."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from dispatcher.sandbox.sendgrid import fates as mail_fates
from dispatcher.sandbox.twilio import fates as text_fates
from dispatcher.sandbox.twilio.refusals import MAGIC_FROM, MAGIC_TO
from tests.sandbox.clients import Clients, mail_to
from tests.sandbox.conftest import Open

EVIL = "<script>document.title='taken over'</script>\"'&"
CHROMIUM = Path("/usr/bin/chromium")
HAS_CHROMIUM = CHROMIUM.exists()


async def page(clients: Clients, path: str = "") -> tuple[int, str, str]:
    """Status, HTML and content security policy of a page."""
    async with clients.session.get(f"{clients.sandbox.url}/sandbox/{path}") as answer:
        return answer.status, await answer.text(), answer.headers["Content-Security-Policy"]


async def fill(clients: Clients) -> None:
    """One message of each kind, with words that would break a careless page."""
    mail = mail_to(["anna@example.com"], values={"-name-": EVIL})
    await clients.send_mail(mail)
    await clients.text("+12125550199", body=f"{EVIL} " + "x" * 160)
    await clients.tweepy().create_tweet(text=EVIL)
    await clients.sandbox.settled()


async def test_an_empty_sandbox_says_so(clients: Clients) -> None:
    status, html, _ = await page(clients)
    assert status == 200
    for words in ("No mails yet.", "No texts yet.", "No posts yet."):
        assert words in html


@pytest.mark.parametrize("path", ["/", "/sandbox"])
async def test_short_addresses_lead_to_the_inbox(clients: Clients, path: str) -> None:
    async with clients.session.get(clients.sandbox.url + path) as answer:
        assert answer.url.path == "/sandbox/"


async def test_all_three_kinds_are_shown_with_their_states(clients: Clients) -> None:
    await fill(clients)
    _, html, _ = await page(clients)
    assert "anna@example.com" in html
    assert "undelivered 30005" in html
    assert "2 segments, from +15005550006" in html
    assert ">delivered<" in html


@pytest.mark.parametrize("path", ["", "mails/1"])
async def test_whatever_was_sent_stays_text(clients: Clients, path: str) -> None:
    await fill(clients)
    _, html, policy = await page(clients, path)
    assert "<script" not in html
    assert EVIL in unescape(html)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


async def test_a_mail_is_shown_in_a_frame_that_may_do_nothing(clients: Clients) -> None:
    await fill(clients)
    _, html, policy = await page(clients, "mails/1")
    frame = re.search(r"<iframe[^>]*>", html)
    assert frame is not None
    assert 'sandbox=""' in frame[0]
    source = re.search(r'srcdoc="([^"]*)"', frame[0])
    assert source is not None
    assert unescape(source[1]) == f"<p>Dear {EVIL}</p>"
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "k-0" in html
    assert "help@example.com" in html


@pytest.mark.parametrize("path", ["mails/2", "mails/99", "mails/0"])
async def test_what_is_no_mail_or_was_let_go_is_not_found(clients: Clients, path: str) -> None:
    await fill(clients)
    status, html, _ = await page(clients, path)
    assert status == 404
    assert "/sandbox/" in html


async def test_one_recipient_can_be_shown_alone(clients: Clients) -> None:
    await clients.send_mail(mail_to(["anna@example.com", "ben@example.com"]))
    _, html, _ = await page(clients, "?to=ben@example.com")
    assert "ben@example.com" in html
    assert "anna@example.com" not in html
    assert "No texts to ben@example.com." in html


@pytest.mark.parametrize(("asked", "header"), [("5", "5"), ("0", "2"), ("x", None), ("", None)])
async def test_reloading_is_a_choice(clients: Clients, asked: str, header: str | None) -> None:
    async with clients.session.get(
        f"{clients.sandbox.url}/sandbox/", params={"refresh": asked}
    ) as answer:
        assert answer.headers.get("Refresh") == header


async def test_switched_on_faults_and_duplicates_are_in_plain_sight(open_sandbox: Open) -> None:
    clients = await open_sandbox(receipts_after=(60, 60))
    await clients.fault(provider="x", kind="status", status=503, times=2, probability=0.5)
    for _ in range(2):
        await clients.send_mail(mail_to(["anna@example.com"]))
    _, html, _ = await page(clients)
    assert "status 503, 50 %, 2 times" in html
    assert "1 accepted more than once" in html


async def test_only_the_latest_are_listed_and_the_page_says_so(clients: Clients) -> None:
    await clients.send_mail(mail_to([f"p{number}@example.com" for number in range(1000)]))
    _, html, _ = await page(clients)
    assert "1,000, latest 50 shown" in html
    assert html.count('href="/sandbox/mails/') == 50


async def test_every_magic_address_is_written_down(clients: Clients) -> None:
    status, html, _ = await page(clients, "magic")
    assert status == 200
    for word in (*mail_fates.MAGIC, *text_fates.MAGIC, *MAGIC_FROM, *MAGIC_TO):
        assert f'<th scope="row">{word}</th>' in html


async def test_the_style_sheet_is_served(clients: Clients) -> None:
    async with clients.session.get(f"{clients.sandbox.url}/sandbox/sandbox.css") as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not HAS_CHROMIUM:
        pytest.skip("Chromium is not installed")
    quiet = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"]
    quiet += ["--disable-background-networking", "--disable-component-update"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        await browser.close()


@pytest.mark.parametrize("path", ["", "mails/1", "mails/99", "magic"])
async def test_on_a_small_screen_nothing_overflows_and_no_script_runs(
    clients: Clients, browser: Browser, path: str
) -> None:
    await fill(clients)
    address = "a.very.long.address.of.somebody@department.of.operations.example.com"
    await clients.send_mail(mail_to([address], key="k" * 300))
    view = await browser.new_page(viewport={"width": 400, "height": 800})
    await view.goto(f"{clients.sandbox.url}/sandbox/{path}")
    assert await view.evaluate("document.documentElement.scrollWidth") == 400
    assert all([await frame.title() != "taken over" for frame in view.frames])
    assert await view.evaluate("getComputedStyle(document.body).margin") == "0px"


async def test_a_mail_keeps_its_own_styles_and_loads_nothing(
    clients: Clients, browser: Browser
) -> None:
    mail = mail_to(["anna@example.com"]).get()
    tracker = f"{clients.sandbox.url}/tracker.png"
    styled = f'<p style="color: rgb(1, 2, 3)">Dear Anna</p><img src="{tracker}">'
    mail["content"][1]["value"] = styled
    await clients.send_mail(mail)
    view = await browser.new_page()
    loaded: list[str] = []
    view.on("requestfinished", lambda request: loaded.append(request.url))
    await view.goto(f"{clients.sandbox.url}/sandbox/mails/1")
    words = view.frame_locator("iframe").locator("p")
    assert await words.inner_text() == "Dear Anna"
    colour = await words.evaluate("node => getComputedStyle(node).color")
    assert colour == "rgb(1, 2, 3)"
    assert tracker not in loaded
