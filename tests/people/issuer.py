"""A small identity provider over real HTTP: discovery, keys, and a token for a code with PKCE."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "tidings", "s3cret of the/client"


@dataclass
class Issuer:
    """What it says, and how it signs; a test changes it. `asked` counts requests by path."""

    url: str = ""
    keys: dict[str, RSAPrivateKey] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: bool = False
    other: dict[str, Any] = field(default_factory=dict)

    def add_key(self, kid: str) -> None:
        self.keys[kid] = generate_private_key(public_exponent=65537, key_size=2048)

    def claims(self, url: str, now: datetime, **more: Any) -> dict[str, Any]:
        """What a well-behaved provider says of Ada who came by this authorization URL."""
        asked = parse_qs(urlsplit(url).query)
        moment = int(now.timestamp())
        return {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "ada-at-issuer",
            "exp": moment + 300,
            "iat": moment,
            "nonce": asked["nonce"][0],
            "email": "Ada@example.com",
            "email_verified": True,
            "name": "Ada",
            **more,
        }

    def sign(self, claims: Mapping[str, Any], kid: str = "k1") -> str:
        return jwt.encode(dict(claims), self.keys[kid], algorithm="RS256", headers={"kid": kid})

    def hand_out(self, url: str, token: str) -> str:
        """The code with which the browser goes back, good once and with the right verifier."""
        asked = parse_qs(urlsplit(url).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["client_id"] == [CLIENT]
        code = f"code-{len(self.asked)}-{len(self.codes)}"
        self.codes[code] = (asked["code_challenge"][0], token)
        return code

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                {
                    **RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
                    "kid": kid,
                    "use": "sig",
                    "alg": "RS256",
                }
                for kid, key in self.keys.items()
            ]
        }

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.broken:
            return web.Response(status=502, text="<h1>Bad gateway</h1>", content_type="text/html")
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response(
                    {
                        "issuer": self.url,
                        "authorization_endpoint": f"{self.url}/authorize",
                        "token_endpoint": f"{self.url}/token",
                        "jwks_uri": f"{self.url}/keys",
                        **self.other,
                    }
                )
            case "/keys":
                return web.json_response(self.jwks())
            case _:
                return await self._token(request)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        pair = base64.b64encode(f"{CLIENT}:s3cret%20of%20the%2Fclient".encode()).decode()
        digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        challenge, token = self.codes.pop(str(form.get("code")), ("", ""))
        proved = challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if request.headers.get("Authorization") != f"Basic {pair}" or not proved:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": "unused", "id_token": token})


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    issuer.add_key("k1")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", issuer.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield issuer
    await runner.cleanup()
