"""The identity provider over HTTP: its addresses, its keys, and a token for a code. All of it bounded."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import BAD_REQUEST, INTERNAL_SERVER_ERROR, OK
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import jwt
import orjson
import structlog
from aiohttp import web

from dispatcher.clock import Clock
from dispatcher.config import OidcSettings, is_safe_address
from dispatcher.web.answers import WebRefusedError

log = structlog.get_logger(__name__)

ALGORITHMS: Final = ("RS256", "ES256")

_TIMEOUT_S: Final = 10.0
_MOST_BYTES: Final = 512 * 1024
_KEPT_S: Final = 3600.0
# A key we have never seen may be new. Asked for more often than this, the provider would suffer for a fool.
_AGAIN_AFTER_S: Final = 30.0
_WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Addresses:
    authorization: str
    token: str
    keys: str
    basic: bool


@dataclass(slots=True)
class Provider:
    """What is known of the provider, asked for when it is needed and kept for an hour."""

    settings: OidcSettings
    clock: Clock
    _addresses: _Addresses | None = None
    _asked: float = 0.0
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _fetched: float | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def authorization_url(self, asked: Mapping[str, str]) -> str:
        """Where to send the browser, with what is `asked` of the provider besides who we are."""
        addresses = await self._where()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.settings.redirect_url or "",
            "scope": self.settings.scope,
            **asked,
        }
        joint = "&" if "?" in addresses.authorization else "?"
        return f"{addresses.authorization}{joint}{urlencode(query)}"

    async def id_token(self, code: str, verifier: str) -> str:
        """The token for a code. Raises WebRefusedError: 401 for a code it does not know, 503."""
        addresses, settings = await self._where(), self.settings
        secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_url or "",
            "code_verifier": verifier,
            "client_id": settings.client_id,
        }
        headers = {"Accept": "application/json"}
        if addresses.basic:
            pair = f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_secret"] = secret
        status, answer = await _fetch("POST", addresses.token, data=form, headers=headers)
        if BAD_REQUEST <= status < INTERNAL_SERVER_ERROR:
            log.warning("oidc.code_refused", status=status)
            raise WebRefusedError("oidc-code-refused")
        token = answer.get("id_token")
        if status != OK or not isinstance(token, str):
            raise _unavailable("oidc.no_token", status=status)
        return token

    async def key(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of this name, if the provider has it; without a name the only one there is."""
        async with self._turn:
            if not self._is_fresh(_KEPT_S) or (
                self._pick(kid) is None and not self._is_fresh(_AGAIN_AFTER_S)
            ):
                await self._fetch_keys()
            return self._pick(kid)

    def _pick(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _is_fresh(self, within_s: float) -> bool:
        return self._fetched is not None and self.clock.monotonic() - self._fetched < within_s

    async def _fetch_keys(self) -> None:
        addresses = await self._where()
        status, answer = await _fetch("GET", addresses.keys)
        listed = answer.get("keys")
        if status != OK or not isinstance(listed, list):
            raise _unavailable("oidc.no_keys", status=status)
        self._keys = {
            str(entry.get("kid", "")): key
            for entry in listed
            if isinstance(entry, dict) and (key := _signing_key(entry)) is not None
        }
        self._fetched = self.clock.monotonic()

    async def _where(self) -> _Addresses:
        """The provider's addresses, which it publishes under its own."""
        now = self.clock.monotonic()
        if self._addresses is not None and now - self._asked < _KEPT_S:
            return self._addresses
        issuer = self.settings.issuer
        if issuer is None:
            raise WebRefusedError("oidc-off")
        status, answer = await _fetch("GET", issuer.rstrip("/") + _WELL_KNOWN)
        if status != OK or answer.get("issuer") != issuer:
            raise _unavailable("oidc.wrong_issuer", status=status)
        methods = answer.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        self._addresses = _Addresses(
            authorization=_address(answer, "authorization_endpoint"),
            token=_address(answer, "token_endpoint"),
            keys=_address(answer, "jwks_uri"),
            basic="client_secret_basic" in methods,
        )
        self._asked = now
        return self._addresses


PROVIDER: Final = web.AppKey("identity provider", Provider)


def _signing_key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """A key we may check a signature with; None for others, of which providers list some."""
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(entry)
    except (jwt.PyJWTError, ValueError, KeyError):
        return None
    return key if key.algorithm_name in ALGORITHMS else None


def _address(answer: Mapping[str, Any], name: str) -> str:
    found = answer.get(name)
    if not isinstance(found, str) or not is_safe_address(found):
        raise _unavailable("oidc.bad_address", field=name)
    return found


async def _fetch(method: str, url: str, **what: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of one answer. Raises WebRefusedError (503) without one."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, url, allow_redirects=False, **what) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise _unavailable("oidc.too_large")
            answer = orjson.loads(body) if body else {}
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise _unavailable("oidc.no_answer", error=type(error).__name__) from None
    if not isinstance(answer, dict):
        raise _unavailable("oidc.no_object", status=response.status)
    return response.status, answer


def _unavailable(event: str, **fields: object) -> WebRefusedError:
    log.warning(event, **fields)
    return WebRefusedError("oidc-unavailable", headers={"Retry-After": "10"})
