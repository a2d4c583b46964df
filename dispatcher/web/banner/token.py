"""User tokens: a short-lived signed statement "this app user belongs to this account"."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt

from dispatcher.context import Context
from dispatcher.web.answers import WebRefusedError

LONGEST: Final = timedelta(hours=1)
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "banner"
_TOKEN_LIMIT: Final = 2000
_NAME_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class User:
    """Whom a token speaks of, in the words of the customer's product, and until when."""

    app_user: str
    account: str
    until: datetime


def make_banner_token(
    ctx: Context, user: str, account: str, now: datetime, *, valid_for: timedelta = LONGEST
) -> str:
    """A token for one app user of one account (external id), valid for an hour at most."""
    if not timedelta(0) < valid_for <= LONGEST:
        raise ValueError("a banner token is valid for up to one hour")
    claims = {
        "sub": user,
        "acct": account,
        "aud": _AUDIENCE,
        "iat": int(now.timestamp()),
        "exp": int((now + valid_for).timestamp()),
    }
    return jwt.encode(claims, ctx.signer.derived_key("banner"), algorithm=_ALGORITHM)


def read_banner_token(ctx: Context, authorization: str | None, now: datetime) -> User:
    """The user behind an Authorization header. Raises WebRefusedError (401)."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_LIMIT:
        raise _refusal("Send Authorization: Bearer with a banner token")
    try:
        claims = jwt.decode(
            token.strip(),
            ctx.signer.derived_key("banner"),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            # Time is ours to tell: the library would ask the machine.
            options={
                "require": ["sub", "acct", "aud", "exp"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidTokenError:
        raise _refusal("The banner token is damaged or signed with another key") from None
    user, account, seconds = claims["sub"], claims["acct"], claims["exp"]
    if not (_is_name(user) and _is_name(account) and _is_number(seconds)):
        raise _refusal("The banner token's claims are not of the right type")
    until = datetime.fromtimestamp(seconds, UTC)
    if until <= now:
        raise _refusal("The banner token has expired")
    if until > now + LONGEST:
        raise _refusal("The banner token is valid for more than an hour")
    return User(user, account, until)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= _NAME_LIMIT and value.isprintable()


def _is_number(value: object) -> bool:
    far_future = 2**40
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < far_future


def _refusal(detail: str) -> WebRefusedError:
    challenge = {"WWW-Authenticate": 'Bearer realm="tidings banner", error="invalid_token"'}
    return WebRefusedError("banner-token-invalid", detail, headers=challenge)
