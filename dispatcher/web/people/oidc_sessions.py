"""Sign in by OpenID Connect: code flow with PKCE. A state is good once, for ten minutes, where it was begun.

Nonce, verifier and the cookie that stays where a sign-in was begun are derived from the state with our
secret, so nothing is stored that could be used. Without the cookie somebody could end their own sign-in in
the browser of another, who would then work, and type, as them.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final

from aiohttp import web

from dispatcher.audit import note
from dispatcher.context import Context
from dispatcher.db import Connection, in_transaction
from dispatcher.rules.problem import RefusedError
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.ids import USER
from dispatcher.web.people import store
from dispatcher.web.people.id_token import Person, read_id_token
from dispatcher.web.people.models import OidcBegun, OidcReturn, Session, UserIn
from dispatcher.web.people.oidc_provider import PROVIDER
from dispatcher.web.people.sessions import enter, note_refusal
from dispatcher.web.people.store import User
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain

VALID_FOR: Final = timedelta(minutes=10)
_COOKIE: Final = "tidings_oidc"
_NAME_BYTES: Final = 6

ADD_SQL = "insert into oidc_state (state_hash, ends_at) values ($1, $2)"
USE_SQL = "delete from oidc_state where state_hash = $1 returning ends_at > $2"


async def post_begin(call: Plain) -> Reply:
    """Where to send the browser; it keeps a cookie, and only who shows that again is let in."""
    ctx, provider = call.ctx, call.request.app[PROVIDER]
    state, ends_at = secrets.token_urlsafe(32), ctx.now() + VALID_FOR
    challenge = _base64(hashlib.sha256(_derived(ctx, "verifier", state).encode()).digest())
    url = await provider.authorization_url(
        {
            "state": state,
            "nonce": _derived(ctx, "nonce", state),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    await ctx.pool.execute(ADD_SQL, _hash(state), ends_at, timeout=POOL_WAIT_S)
    begun = OidcBegun(authorization_url=url, state=state, expires_at=ends_at)
    return Reply(begun, 201, {"Set-Cookie": _cookie(ctx, state, VALID_FOR)})


async def post_callback(call: Call[OidcReturn, NoQuery]) -> Reply:
    """A session for whom the provider vouches for, if they may work here. Send the cookie with it."""
    ctx = call.ctx
    try:
        person = await _vouched_for(call)
        session = await in_transaction(
            ctx.pool, lambda conn: _enter(conn, ctx, person), rng=ctx.rng, wait_s=POOL_WAIT_S
        )
    except RefusedError as refused:
        await note_refusal(ctx, None, refused.kind)
        raise
    over = _cookie(ctx, call.body.state.get_secret_value(), timedelta(0))
    return Reply(session, 201, {"Set-Cookie": over})


async def _vouched_for(call: Call[OidcReturn, NoQuery]) -> Person:
    ctx, provider = call.ctx, call.request.app[PROVIDER]
    state = call.body.state.get_secret_value()
    if provider.settings.issuer is None:
        raise WebRefusedError("oidc-off")
    # First of all: whoever merely learned a state cannot use it up.
    _refuse_elsewhere(ctx, call.request, state)
    # Gone before anything is asked of the provider: nothing that fails afterwards brings it back.
    if not await ctx.pool.fetchval(USE_SQL, _hash(state), ctx.now(), timeout=POOL_WAIT_S):
        raise WebRefusedError("oidc-state-over")
    code, verifier = call.body.code.get_secret_value(), _derived(ctx, "verifier", state)
    token = await provider.id_token(code, verifier)
    return await read_id_token(provider, token, nonce=_derived(ctx, "nonce", state), now=ctx.now())


def _refuse_elsewhere(ctx: Context, request: web.Request, state: str) -> None:
    """Raises WebRefusedError (403) where the sign-in was not begun."""
    shown = request.cookies.get(_cookie_name(ctx, state), "").encode(errors="replace")
    if not hmac.compare_digest(shown, _derived(ctx, "browser", state).encode()):
        raise WebRefusedError("oidc-elsewhere")


def _cookie_name(ctx: Context, state: str) -> str:
    """One each for several sign-ins at once, in two tabs."""
    prefix = "__Host-" if _is_https(ctx) else ""
    return f"{prefix}{_COOKIE}_{_hash(state)[:_NAME_BYTES].hex()}"


def _cookie(ctx: Context, state: str, age: timedelta) -> str:
    """The header that sets it; lax, as a browser comes back from the provider's site."""
    value = _derived(ctx, "browser", state)
    # `__Host-`: no neighbour below the same domain can put one in its place.
    secure = "; Secure" if _is_https(ctx) else ""
    seconds = int(age.total_seconds())
    return f"{_cookie_name(ctx, state)}={value}; Max-Age={seconds}; Path=/; HttpOnly{secure}; SameSite=Lax"


def _is_https(ctx: Context) -> bool:
    return ctx.settings.public_url.startswith("https:")


async def _enter(conn: Connection, ctx: Context, person: Person) -> Session:
    now = ctx.now()
    user = await store.hold(conn, (await _known(conn, ctx, person)).id)
    if user.disabled_at is not None:
        raise WebRefusedError("person-disabled")
    return await enter(conn, ctx, user, now=now, by="oidc")


async def _known(conn: Connection, ctx: Context, person: Person) -> User:
    """Who it is here: by the subject; the first time by the e-mail; else somebody new, if claims say so."""
    user = await store.by_subject(conn, person.subject)
    if user is not None:
        return user
    if person.email is None:
        raise WebRefusedError("oidc-email-unproven")
    now, action = ctx.now(), "user.bind"
    user = await store.by_email(conn, person.email)
    if user is None:
        if person.role is None:
            raise WebRefusedError("oidc-not-invited")
        body = UserIn(email=person.email, name=person.name, role=person.role)
        user, action = await store.add(conn, body, now=now), "user.create"
    # The e-mail may have passed to somebody else since: then it does not let them in.
    if not await store.bind(conn, user.id, person.subject, now=now):
        raise WebRefusedError("oidc-not-invited", "Somebody else here has this e-mail")
    detail = {"by": "oidc", "role": user.role}
    thing = ctx.signer.public_id(USER, user.id)
    await note(conn, at=now, actor="oidc", action=action, thing=thing, detail=detail)
    return user


def _derived(ctx: Context, what: str, state: str) -> str:
    key = ctx.signer.derived_key(f"oidc {what}")
    return _base64(hashlib.blake2b(state.encode(), key=key, digest_size=32).digest())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()
