"""Somebody's browser between the product and the issuer, and the fixtures of such a story."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from pydantic import SecretStr

from dispatcher.config import ApiSettings, OidcSettings, Settings
from tests.flow.story import MovableClock
from tests.people.issuer import CLIENT, SECRET, Issuer, running_issuer
from tests.web.client import Answer, Api


class WholeClock(MovableClock):
    """Intervals move with the hand as well."""

    moved = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.moved

    def move(self, span: timedelta) -> None:
        super().move(span)
        self.moved += span.total_seconds()


@pytest.fixture
def clock() -> WholeClock:
    return WholeClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def web_settings(plain_settings: Settings, issuer: Issuer) -> Settings:
    oidc = OidcSettings(
        issuer=issuer.url,
        client_id=CLIENT,
        client_secret=SecretStr(SECRET),
        redirect_url="https://console.example.com/back",
        role_claim="groups",
        roles={"incident-authors": "author", "incident-leads": "comms_lead"},
    )
    return plain_settings.model_copy(update={"oidc": oidc, "api": ApiSettings(sign_ins=1000)})


@dataclass
class Browser:
    """Goes to the issuer and comes back."""

    api: Api
    issuer: Issuer
    clock: MovableClock
    cookies: SimpleCookie = field(default_factory=SimpleCookie)

    async def begin(self) -> Any:
        begun = await self.api.call("POST", "/v1/sessions/oidc")
        assert begun.status == 201, begun.body
        self.cookies.load(begun.headers["Set-Cookie"])
        return begun.json

    async def come_back(self, state: str, code: str) -> Answer:
        body = {"code": code, "state": state}
        kept = "; ".join(f"{name}={cookie.value}" for name, cookie in self.cookies.items())
        headers = {"Cookie": kept} if kept else {}
        return await self.api.call("POST", "/v1/sessions/oidc/callback", body, headers=headers)

    async def sign_in(self, **claims: Any) -> Answer:
        """With what the issuer says of Ada, less and more."""
        begun = await self.begin()
        url = begun["authorization_url"]
        said = self.issuer.claims(url, self.clock.now(), **claims)
        token = self.issuer.sign({key: value for key, value in said.items() if value is not None})
        return await self.come_back(begun["state"], self.issuer.hand_out(url, token))

    async def with_token(self, make: Any) -> Answer:
        """With a token that `make` makes of the right claims."""
        begun = await self.begin()
        url = begun["authorization_url"]
        token = make(self.issuer.claims(url, self.clock.now()))
        return await self.come_back(begun["state"], self.issuer.hand_out(url, token))


@pytest.fixture
def browser(anonymous: Api, issuer: Issuer, clock: MovableClock) -> Browser:
    return Browser(anonymous, issuer, clock)
