"""An id_token (OpenID Connect Core, 3.1.3.7): believed when everything about it is as it must be."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import jwt

from dispatcher.rules.roles import Role
from dispatcher.web.answers import WebRefusedError
from dispatcher.web.people.oidc_provider import ALGORITHMS, Provider
from segments.addresses import normalise_email

# Clocks of two houses differ.
_LEEWAY_S: Final = 60
_LONGEST_TOKEN: Final = 32_000
_LONGEST_SUBJECT: Final = 255
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom the provider vouches for. `email`: only one that it has verified. `role`: by its claims."""

    subject: str
    email: str | None = field(repr=False)
    name: str = field(repr=False)
    role: Role | None


async def read_id_token(provider: Provider, token: str, *, nonce: str, now: datetime) -> Person:
    """Whom the token speaks of. Raises WebRefusedError (401) with what is wrong, never with what it says."""
    settings = provider.settings
    claims = await _verified(provider, token)
    if not _is_current(claims, now):
        raise _refused("It has expired, or comes from the future")
    if not isinstance(claims["nonce"], str) or not hmac.compare_digest(
        claims["nonce"].encode(), nonce.encode()
    ):
        raise _refused("Its nonce is not that of this sign-in")
    if not _is_for(claims, settings.client_id):
        raise _refused("It was issued for another client")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise _refused("It does not name a subject")
    email = _email(claims)
    return Person(
        subject=f"{settings.issuer} {subject}",
        email=email,
        name=_name(claims) or (email or "").partition("@")[0],
        role=_role(claims, settings.role_claim, settings.roles),
    )


async def _verified(provider: Provider, token: str) -> dict[str, Any]:
    settings = provider.settings
    try:
        if len(token) > _LONGEST_TOKEN:
            raise jwt.InvalidTokenError
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise _refused("It is not signed in a way we believe: RS256 or ES256")
        key = await provider.key(header.get("kid"))
        if key is None:
            raise _refused("The provider has no such key")
        found: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=settings.client_id,
            issuer=settings.issuer,
            # Time is ours to tell: the library would ask the machine.
            options={
                "require": ["exp", "iat", "iss", "aud", "sub", "nonce"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise _refused("It was issued for another client") from None
    except jwt.InvalidIssuerError:
        raise _refused("Another issuer made it") from None
    except jwt.MissingRequiredClaimError as error:
        raise _refused(f"The claim {error.claim} is missing") from None
    except jwt.PyJWTError:
        raise _refused("It is damaged, or its signature is wrong") from None
    return found


def _is_current(claims: dict[str, Any], now: datetime) -> bool:
    ends, made, moment = claims["exp"], claims["iat"], now.timestamp()
    if not all(isinstance(value, int | float) for value in (ends, made)):
        return False
    return bool(moment < ends + _LEEWAY_S and made - _LEEWAY_S <= moment)


def _is_for(claims: dict[str, Any], client: str) -> bool:
    """A token for several names the one that asked for it."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    return bool(claims["azp"] == client) if "azp" in claims else not several


def _email(claims: dict[str, Any]) -> str | None:
    given = claims.get("email")
    # Some providers write the truth as a word; whatever else they write is none.
    if not isinstance(given, str) or claims.get("email_verified") not in {True, "true"}:
        return None
    try:
        return normalise_email(given).lower()
    except ValueError:
        return None


def _name(claims: dict[str, Any]) -> str:
    name = claims.get("name")
    return name.strip()[:_LONGEST_NAME] if isinstance(name, str) and name.isprintable() else ""


def _role(claims: dict[str, Any], claim: str, roles: dict[str, Any]) -> Role | None:
    """The one that may most, of all that the values of the claim give."""
    value = claims.get(claim) if claim else None
    values = value if isinstance(value, list) else [value]
    given = {roles[item] for item in values if isinstance(item, str) and item in roles}
    return next((role for role in reversed(Role) if role in given), None)


def _refused(detail: str) -> WebRefusedError:
    return WebRefusedError("oidc-token-refused", detail)
