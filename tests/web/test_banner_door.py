"""Who may ask for the banner: our own short-lived tokens, from listed pages."""

import base64
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import orjson
import pytest

from dispatcher.context import Context
from dispatcher.web.banner.token import make_banner_token
from tests.web.client import Api
from tests.web.conftest import PAGE_ORIGIN
from tests.web.viewers import viewing


def claims(ctx: Context, **more: Any) -> dict[str, Any]:
    soon = int(ctx.now().timestamp()) + 600
    return {"sub": "user-1", "acct": "small", "aud": "banner", "exp": soon, **more}


def signed(ctx: Context, body: dict[str, Any]) -> str:
    return jwt.encode(body, ctx.signer.derived_key("banner"), algorithm="HS256")


def signed_otherwise(ctx: Context, body: dict[str, Any]) -> str:
    """Good in everything but the algorithm; the library warns of keys of this length."""
    parts = [{"alg": "HS384", "typ": "JWT"}, body]
    text = b".".join(base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in parts)
    proof = hmac.digest(ctx.signer.derived_key("banner"), text, "sha384")
    return (text + b"." + base64.urlsafe_b64encode(proof).rstrip(b"=")).decode()


async def bad_tokens(ctx: Context) -> AsyncIterator[tuple[str, str | None]]:
    now = int(ctx.now().timestamp())
    good = signed(ctx, claims(ctx))
    yield "none at all", None
    yield "damaged", good[:-3] + "AAA"
    yield "unsigned", jwt.encode(claims(ctx), "", algorithm="none")
    yield "other algorithm", signed_otherwise(ctx, claims(ctx))
    yield "other key", jwt.encode(claims(ctx), "k" * 32, algorithm="HS256")
    yield "expired", signed(ctx, claims(ctx, exp=now))
    yield "too long", signed(ctx, claims(ctx, exp=now + 3601))
    yield "other audience", signed(ctx, claims(ctx, aud="console"))
    for name in ("sub", "acct", "aud", "exp"):
        without = {key: value for key, value in claims(ctx).items() if key != name}
        yield f"without {name}", signed(ctx, without)
    yield "odd user", signed(ctx, claims(ctx, sub="a\x00b"))
    yield "blank user", signed(ctx, claims(ctx, sub=" "))
    yield "number as account", signed(ctx, claims(ctx, acct=7))
    yield "endless", signed(ctx, claims(ctx, exp=10**18))
    yield "huge", signed(ctx, claims(ctx, more="x" * 5000))


async def test_only_our_own_short_lived_tokens_open_the_banner(
    anonymous: Api, ctx: Context
) -> None:
    for path in ("/v1/banner", "/v1/banner/stream"):
        async for why, token in bad_tokens(ctx):
            answer = await anonymous.bearing(token).get(path)
            assert (answer.status, answer.kind) == (401, "banner-token-invalid"), why
    assert (await anonymous.bearing(signed(ctx, claims(ctx))).get("/v1/banner")).status == 200


async def test_a_token_lives_an_hour_at_most(ctx: Context) -> None:
    with pytest.raises(ValueError, match="up to one hour"):
        make_banner_token(ctx, "u", "a", ctx.now(), valid_for=timedelta(hours=1, seconds=1))


async def test_only_listed_pages_may_read_the_banner_from_a_browser(
    anonymous: Api, ctx: Context
) -> None:
    viewer = viewing(anonymous, ctx)
    listed = await viewer.get("/v1/banner", Origin=PAGE_ORIGIN)
    assert listed.status == 200
    assert listed.headers["Access-Control-Allow-Origin"] == PAGE_ORIGIN
    assert listed.headers["Vary"] == "Origin"
    for origin in ("https://evil.example", f"{PAGE_ORIGIN}.evil.example", "null"):
        refused = await viewer.get("/v1/banner", Origin=origin)
        assert (refused.status, refused.kind) == (403, "origin-not-allowed")
        assert "Access-Control-Allow-Origin" not in refused.headers
    own = await viewer.get("/v1/banner", Origin=ctx.settings.public_url)
    assert own.status == 200


async def test_a_page_can_see_that_its_token_has_expired(anonymous: Api) -> None:
    answer = await anonymous.get("/v1/banner", Origin=PAGE_ORIGIN)
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE_ORIGIN


@pytest.mark.parametrize("path", ["/v1/banner", "/v1/banner/stream", "/v1/banner/receipts"])
async def test_browsers_may_ask_first(anonymous: Api, path: str) -> None:
    headers = {"Origin": PAGE_ORIGIN, "Access-Control-Request-Method": "GET"}
    answer = await anonymous.call("OPTIONS", path, headers=headers)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE_ORIGIN
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Max-Age"] == "600"
    stranger = await anonymous.call("OPTIONS", path, headers={"Origin": "https://evil.example"})
    assert stranger.status == 403
