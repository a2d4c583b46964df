"""Signing in by OpenID Connect, against a real issuer over HTTP; every lie of a token is refused."""

import base64
from datetime import timedelta
from functools import partial
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from dispatcher.config import OidcSettings, Settings
from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.ids import USER
from dispatcher.web.people.models import UserPatch
from dispatcher.web.people.users import change_user
from tests.flow.story import MovableClock
from tests.people.browser import Browser, WholeClock, browser, clock, issuer, web_settings
from tests.people.issuer import CLIENT, Issuer
from tests.people.words import invite

__all__ = ["browser", "clock", "issuer", "web_settings"]


async def test_who_is_known_by_a_verified_email_is_known_by_the_subject_afterwards(
    browser: Browser, ctx: Context
) -> None:
    ada = await invite(ctx, "ada", Role.COMMS_LEAD)
    assert (await browser.sign_in(email_verified=False)).kind == "oidc-email-unproven"
    assert (await browser.sign_in(email_verified=None)).kind == "oidc-email-unproven"
    first = await browser.sign_in()
    assert first.json["user"]["id"] == ada.id
    caller = browser.api.bearing(first.json["token"])
    assert (await caller.get("/v1/me")).json["user"]["signs_in_by_oidc"]
    # The role is ours to give, and the e-mail no longer matters.
    moved = await browser.sign_in(
        email="ada.new@example.com", email_verified=False, groups=["incident-authors"]
    )
    assert (moved.json["user"]["id"], moved.json["user"]["role"]) == (ada.id, "comms_lead")
    # Somebody else to whom her old address was given is not her.
    assert (await browser.sign_in(sub="eve-at-issuer")).kind == "oidc-not-invited"

    number = ctx.signer.read_public_id(USER, ada.id)
    await change_user(ctx, number, UserPatch(disabled=True), actor="cli")
    assert (await browser.sign_in()).kind == "person-disabled"
    async with ctx.pool.acquire() as conn:
        rows = await conn.fetch("select actor, action, object, detail::text from audit order by id")
    noted = [(row["actor"], row["action"], row["object"]) for row in rows]
    assert ("oidc", "user.bind", ada.id) in noted
    assert noted[-1] == ("nobody", "session.refuse", "user:unknown")
    assert not any("@" in str(dict(row)) for row in rows)


async def test_who_is_new_comes_in_with_the_role_their_claims_give_or_not_at_all(
    browser: Browser,
) -> None:
    for groups in (None, [], ["marketing"], "marketing", {"incident-authors": 1}):
        assert (await browser.sign_in(groups=groups)).kind == "oidc-not-invited"
    unproven = await browser.sign_in(groups=["incident-authors"], email_verified="yes")
    assert unproven.kind == "oidc-email-unproven"
    both = await browser.sign_in(groups=["incident-authors", "incident-leads", 7])
    assert (both.status, both.json["user"]["role"]) == (201, "comms_lead")
    other = await browser.sign_in(sub="b", email="bob@example.com", groups="incident-authors")
    assert other.json["user"]["role"] == "author"


def _as_hmac_with_the_public_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    pem = (
        issuer.keys["k1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    hs256 = jwt.get_algorithm_by_name("HS256")
    head = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    signed = ".".join(_segment(part) for part in (head, claims))
    # The library refuses to do this, so it is done by hand.
    return f"{signed}.{_raw(hs256.sign(signed.encode(), pem))}"


def _as_unsigned(_: Issuer, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"kid": "k1"})


def _as_signed_by_somebody(_: Issuer, claims: dict[str, Any]) -> str:
    other = Issuer()
    other.add_key("k1")
    return other.sign(claims)


def _with_a_key_nobody_has(issuer: Issuer, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, issuer.keys["k1"], algorithm="RS256", headers={"kid": "k9"})


def _with_another_algorithm(issuer: Issuer, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, issuer.keys["k1"], algorithm="RS512", headers={"kid": "k1"})


async def test_a_token_that_is_not_the_issuers_is_refused(
    browser: Browser, issuer: Issuer, ctx: Context
) -> None:
    await invite(ctx, "ada", Role.ADMIN)
    for make in (
        _as_hmac_with_the_public_key,
        _as_unsigned,
        _as_signed_by_somebody,
        _with_a_key_nobody_has,
        _with_another_algorithm,
        lambda *_: "not.a.token",
    ):
        answer = await browser.with_token(partial(make, issuer))
        assert answer.kind == "oidc-token-refused", make


async def test_a_token_that_is_not_for_this_sign_in_is_refused(
    browser: Browser, ctx: Context, clock: MovableClock
) -> None:
    await invite(ctx, "ada", Role.ADMIN)
    now = int(clock.now().timestamp())
    wrong: list[dict[str, Any]] = [
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": 7},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://another.example.com"},
        {"exp": now - 60},
        {"exp": "tomorrow"},
        {"exp": None},
        {"iat": now + 120},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
    ]
    for claims in wrong:
        answer = await browser.sign_in(**claims)
        assert answer.kind == "oidc-token-refused", claims
    assert (await browser.sign_in(aud=[CLIENT, "another"], azp=CLIENT)).status == 201


async def test_a_state_is_good_once_here_and_for_ten_minutes(
    browser: Browser, issuer: Issuer, ctx: Context, clock: MovableClock
) -> None:
    await invite(ctx, "ada", Role.VIEWER)
    begun = await browser.begin()
    url = begun["authorization_url"]
    token = issuer.sign(issuer.claims(url, clock.now()))
    refused = await browser.come_back(begun["state"], "no such code")
    assert refused.kind == "oidc-code-refused"
    # It is gone, whatever became of it.
    again = await browser.come_back(begun["state"], issuer.hand_out(url, token))
    assert again.kind == "oidc-state-over"
    assert (await browser.come_back("s" * 43, "code")).kind == "oidc-elsewhere"

    begun, other = await browser.begin(), await browser.begin()
    url = begun["authorization_url"]
    code = issuer.hand_out(url, issuer.sign(issuer.claims(url, clock.now())))
    # A code that was intercepted is worth nothing with another sign-in: the verifier is not its own.
    assert (await browser.come_back(other["state"], code)).kind == "oidc-code-refused"
    late = await browser.begin()
    clock.move(timedelta(minutes=10))
    assert (await browser.come_back(late["state"], "code")).kind == "oidc-state-over"


async def test_the_issuers_keys_are_kept_and_asked_for_again_when_a_new_one_signs(
    browser: Browser, issuer: Issuer, ctx: Context, clock: WholeClock
) -> None:
    await invite(ctx, "ada", Role.VIEWER)
    for _ in range(2):
        assert (await browser.sign_in()).status == 201
    assert issuer.asked.count("/keys") == 1
    assert issuer.asked.count("/.well-known/openid-configuration") == 1
    # Whoever sends names of keys that do not exist does not make us ask each time.
    for _ in range(3):
        refused = await browser.with_token(partial(_with_a_key_nobody_has, issuer))
        assert refused.kind == "oidc-token-refused"
    assert issuer.asked.count("/keys") == 1

    clock.move(timedelta(seconds=31))
    issuer.add_key("k2")
    rolled = await browser.with_token(partial(issuer.sign, kid="k2"))
    assert rolled.status == 201
    assert issuer.asked.count("/keys") == 2
    # A key that the issuer took back is worth nothing an hour later.
    withdrawn = Issuer(keys={"k1": issuer.keys.pop("k1")})
    clock.move(timedelta(hours=1))
    assert (await browser.with_token(partial(issuer.sign, kid="k2"))).status == 201
    assert (await browser.with_token(withdrawn.sign)).kind == "oidc-token-refused"


async def test_an_issuer_that_is_away_or_odd_costs_the_sign_in_and_nothing_else(
    browser: Browser, issuer: Issuer
) -> None:
    issuer.broken = True
    assert (await browser.api.call("POST", "/v1/sessions/oidc")).kind == "oidc-unavailable"
    issuer.broken = False
    issuer.other = {"issuer": "https://another.example.com"}
    assert (await browser.api.call("POST", "/v1/sessions/oidc")).kind == "oidc-unavailable"
    issuer.other = {"token_endpoint": "http://another.example.com/token"}
    assert (await browser.api.call("POST", "/v1/sessions/oidc")).kind == "oidc-unavailable"


async def test_without_an_issuer_there_is_no_such_way_in(
    plain_settings: Settings,
) -> None:
    assert plain_settings.oidc.issuer is None
    for wrong in (
        {"issuer": "https://id.example.com"},
        {"issuer": "http://id.example.com"},
        {"roles": {"a": "admin"}},
        {"roles": {"a": "emperor"}, "role_claim": "groups"},
    ):
        with pytest.raises(ValidationError):
            OidcSettings.model_validate(wrong)


def _segment(part: dict[str, Any]) -> str:
    return _raw(orjson.dumps(part))


def _raw(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
