"""Signing in by OpenID Connect: whom to ask, and who may come in."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

RoleName = Literal["viewer", "account_manager", "author", "comms_lead", "admin"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_safe_address(url: str) -> bool:
    """Whether what is sent there stays secret: https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        return parts.hostname in _LOOPBACK
    return parts.scheme == "https" and bool(parts.netloc)


class OidcSettings(BaseModel):
    """The identity provider; without an `issuer` there is none.

    `redirect_url`: where it sends the browser back to, with `code` and `state`. `roles`: what a value of
    the claim `role_claim` makes of somebody who is new here; without one that fits they stay outside.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    redirect_url: str | None = None
    scope: str = "openid email profile"
    role_claim: str = ""
    roles: dict[str, RoleName] = {}

    @field_validator("issuer", "redirect_url")
    @classmethod
    def _stays_secret(cls, value: str | None) -> str | None:
        if value is not None and not is_safe_address(value):
            raise ValueError("must be an https:// address, or http:// on this machine")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        given = (self.client_id, self.client_secret, self.redirect_url)
        if self.issuer is not None and not all(given):
            raise ValueError("issuer needs client_id, client_secret and redirect_url beside it")
        if self.roles and not self.role_claim:
            raise ValueError("roles needs role_claim: the claim whose values it translates")
        return self
