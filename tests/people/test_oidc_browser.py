"""A sign-in by OpenID Connect ends in the browser that began it, and nowhere else."""

import os
import re
from asyncio import create_subprocess_exec, subprocess
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson
from aiohttp import web

from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.app import make_runner
from tests.flow.story import MovableClock
from tests.people.browser import Browser, browser, clock, issuer, web_settings
from tests.people.issuer import Issuer
from tests.people.words import invite
from tests.web.client import Api

__all__ = ["browser", "clock", "issuer", "web_settings"]


async def test_a_sign_in_ends_only_in_the_browser_that_began_it(
    browser: Browser, issuer: Issuer, ctx: Context, clock: MovableClock
) -> None:
    await invite(ctx, "ada", Role.VIEWER)
    eve = replace(browser, cookies=SimpleCookie())
    begun = await eve.begin()
    url = begun["authorization_url"]
    own = issuer.claims(
        url, clock.now(), sub="eve", email="eve@example.com", groups="incident-authors"
    )
    back = begun["state"], issuer.hand_out(url, issuer.sign(own))
    # Ada's browser is made to come back with what Eve has: it would be Eve's session.
    assert (await browser.come_back(*back)).kind == "oidc-elsewhere"
    await browser.begin()
    assert (await browser.come_back(*back)).kind == "oidc-elsewhere"
    (name,) = eve.cookies
    forged = replace(
        browser, cookies=SimpleCookie({name: next(iter(browser.cookies.values())).value})
    )
    assert (await forged.come_back(*back)).kind == "oidc-elsewhere"
    odd = {"Cookie": f"{name}=\udcff"}
    sent = {"state": back[0], "code": back[1]}
    answer = await browser.api.call("POST", "/v1/sessions/oidc/callback", sent, headers=odd)
    assert answer.kind == "oidc-elsewhere"
    # Nobody but who began it has used it up.
    ended = await eve.come_back(*back)
    assert ended.json["user"]["email"] == "eve@example.com"
    assert "; Max-Age=0; " in ended.headers["Set-Cookie"]
    # Two tabs do not disturb each other.
    first, second = await browser.begin(), await browser.begin()
    for tab in (first, second):
        url = tab["authorization_url"]
        code = issuer.hand_out(url, issuer.sign(issuer.claims(url, clock.now())))
        assert (await browser.come_back(tab["state"], code)).status == 201


async def test_the_guide_signs_in_with_curl(
    server: str, issuer: Issuer, ctx: Context, clock: MovableClock, tmp_path: Path
) -> None:
    await invite(ctx, "ada", Role.VIEWER)
    guide = (Path(__file__).parents[2] / "docs" / "people.md").read_text("utf-8")
    begin, end = re.findall(r"^```bash\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)

    async def run(script: str, **variables: str) -> str:
        process = await create_subprocess_exec(
            *("bash", "-euc", script),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "TIDINGS_PUBLIC_URL": server, **variables},
            stdout=subprocess.PIPE,
        )
        return (await process.communicate())[0].decode()

    url = (await run(begin)).strip()
    (state,) = parse_qs(urlsplit(url).query)["state"]
    code = issuer.hand_out(url, issuer.sign(issuer.claims(url, clock.now())))
    session = orjson.loads(await run(end, code=code, state=state))
    assert session["user"]["email"] == "ada@example.com"


async def test_the_cookie_of_a_sign_in_is_seen_by_nobody_else(anonymous: Api, ctx: Context) -> None:
    plain = (await anonymous.call("POST", "/v1/sessions/oidc")).headers["Set-Cookie"]
    assert plain.startswith("tidings_oidc_")
    assert plain.endswith("; Max-Age=600; Path=/; HttpOnly; SameSite=Lax")
    public = ctx.settings.model_copy(update={"public_url": "https://status.example.com"})
    runner = make_runner(replace(ctx, settings=public))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    behind_tls = replace(anonymous, base=f"http://127.0.0.1:{runner.addresses[0][1]}")
    cookie = (await behind_tls.call("POST", "/v1/sessions/oidc")).headers["Set-Cookie"]
    assert cookie.startswith("__Host-tidings_oidc_")
    assert cookie.endswith("; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=Lax")
    await runner.cleanup()
