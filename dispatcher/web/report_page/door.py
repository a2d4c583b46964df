"""Who may see a report: the bearer of a key, or whoever opened a link.

A link is exchanged for a cookie, so that its token does not stay in the address. Not by a redirect:
a browser that comes from a web mailer would not send a strict cookie to where it is redirected. The
page between moves on by itself, and that step starts at our own site.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.ids import ForgedIdError
from dispatcher.rules.problem import RefusedError
from dispatcher.web.admission import admitted
from dispatcher.web.answers import Reply
from dispatcher.web.exports import require_own
from dispatcher.web.ids import DISPATCH, number_of
from dispatcher.web.keys import Caller, caller_of, require
from dispatcher.web.pages import page
from dispatcher.web.reading import NoQuery
from dispatcher.web.report_page.links import (
    DEFAULT_HOURS,
    MAX_HOURS,
    BadLinkError,
    Grant,
    make_link,
    read_token,
    report_path,
)
from dispatcher.web.routing import POOL_WAIT_S, Call, Plain
from dispatcher.web.scopes import Scope
from dispatcher.web.walls import refuse_beyond

Q = TypeVar("Q", bound=BaseModel)

_CONSOLE: Final = Caller("", frozenset(Scope))
"""Who made a link on the command line: whoever runs the installation."""
_COOKIE: Final = "tidings_report"
_ACCOUNT_COOKIE: Final = "tidings_report_account"

ACCOUNT_SQL: Final = "select external_id from account where id = $1"
KEY_SQL: Final = """
select k.id, k.scopes, k.kind, k.expires_at, k.user_id, k.first_id, u.role
from api_key k left join users u on u.id = k.user_id
where k.id = $1 and k.revoked_at is null and u.disabled_at is null
  and (k.kind = 'session' or k.expires_at is null or k.expires_at > $2::timestamptz)
"""


class LinkIn(BaseModel):
    """What a link shall open, and for how long; without an account the whole report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str | None = Field(default=None, max_length=200)
    expires_in_hours: int = Field(default=DEFAULT_HOURS, ge=1, le=MAX_HOURS)


class LinkView(BaseModel):
    """Whoever has the link can open it, until it ends or its key does."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """An admitted reader. `account` is set where only this account's page may be seen.

    `caller`: whose right it is; of a link, whose key made it. What they may no longer see, it shows no more.
    """

    dispatch: int
    account: str | None
    read_pii: bool
    until: datetime | None
    caller: Caller


@dataclass(frozen=True, slots=True)
class _Right:
    """A grant that holds, its account's external id, and who gave it."""

    grant: Grant
    account: str | None
    giver: Caller


Handler: TypeAlias = Callable[[Call[None, Q], Visit], Awaitable[web.StreamResponse]]


def for_readers(handler: Handler[Q]) -> Callable[[Call[None, Q]], Awaitable[web.StreamResponse]]:
    """The handler behind the door: without a right to look, 403 and how to get one."""

    async def admitted(call: Call[None, Q]) -> web.StreamResponse:
        visit = await _visit(call)
        if visit is None:
            return refused()
        refuse_beyond(visit.caller, call.request.match_info.route.name or "")
        return await handler(replace(call, caller=visit.caller), visit)

    return admitted


async def post_link(call: Call[LinkIn, NoQuery]) -> Reply:
    """A link shows addresses in full only where the key itself may see them."""
    ctx, body = call.ctx, call.body
    number = number_of(ctx, DISPATCH, call.path("dispatch_id"))
    await require_own(call, number, body.account)
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn, conn.transaction():
        link = await make_link(
            conn,
            ctx,
            number,
            account=body.account,
            hours=body.expires_in_hours,
            read_pii=call.caller.may(Scope.RECIPIENTS_READ_PII),
            maker=call.caller,
        )
    return Reply(LinkView(url=link.url, expires_at=link.expires_at), status=201)


async def open_link(call: Plain) -> web.Response:
    """Keep the link's right in a cookie that only its report gets, and go there."""
    ctx, token = call.ctx, call.path("token")
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        found = await _granted(conn, ctx, token)
    if found is None:
        return refused()
    grant, account = found.grant, found.account
    path = report_path(ctx.signer, grant.dispatch, account)
    response = page("report_opening.html", {"path": path, "brand": ctx.settings.brand})
    response.set_cookie(
        _COOKIE if account is None else _ACCOUNT_COOKIE,
        token,
        path=path,
        max_age=int((grant.until - ctx.now()).total_seconds()),
        secure=ctx.settings.public_url.startswith("https:"),
        httponly=True,
        samesite="Strict",
    )
    return response


async def _visit(call: Call[None, Q]) -> Visit | None:
    ctx, request = call.ctx, call.request
    if "Authorization" in request.headers:
        caller = await admitted(request, wait_s=POOL_WAIT_S)
        require(caller, Scope.DELIVERIES_READ)
        return Visit(
            dispatch=number_of(ctx, DISPATCH, call.path("dispatch_id")),
            account=None,
            read_pii=caller.may(Scope.RECIPIENTS_READ_PII),
            until=None,
            caller=caller,
        )
    async with ctx.pool.acquire(timeout=POOL_WAIT_S) as conn:
        for token in _tokens(request):
            found = await _granted(conn, ctx, token)
            if found and (visit := _fitting(call, found)):
                return visit
    return None


async def may_still_look(call: Call[None, Q]) -> bool:
    """Whether who was let in would be again: for answers that take their time."""
    try:
        visit = await _visit(call)
        if visit is not None:
            refuse_beyond(visit.caller, call.request.match_info.route.name or "")
    except RefusedError:
        return False
    return visit is not None


def _tokens(request: web.Request) -> Iterator[str]:
    return (request.cookies[name] for name in (_COOKIE, _ACCOUNT_COOKIE) if name in request.cookies)


async def _granted(conn: Connection, ctx: Context, token: str) -> _Right | None:
    """What a link gives; None when the link, its key, its person or its account is no more."""
    try:
        grant = read_token(ctx.signer, token, now=ctx.now())
    except BadLinkError:
        return None
    giver = _CONSOLE
    if grant.key_id:
        key = await conn.fetchrow(KEY_SQL, grant.key_id, ctx.now())
        if key is None:
            return None
        giver = caller_of(key, ctx.signer)
    if grant.account is None:
        return _Right(grant, None, giver)
    account = await conn.fetchval(ACCOUNT_SQL, grant.account)
    return None if account is None else _Right(grant, account, giver)


def _fitting(call: Call[None, Q], right: _Right) -> Visit | None:
    """The visit, if the grant is for the address asked for."""
    grant, account = right.grant, right.account
    try:
        asked = call.ctx.signer.read_public_id(DISPATCH, call.path("dispatch_id"))
    except ForgedIdError:
        return None
    asked_account = call.request.match_info.get("external_id")
    if grant.dispatch != asked or (account is not None and account != asked_account):
        return None
    return Visit(
        dispatch=grant.dispatch,
        account=account,
        read_pii=grant.read_pii and right.giver.may(Scope.RECIPIENTS_READ_PII),
        until=grant.until,
        caller=right.giver,
    )


def refused() -> web.Response:
    """The page for whoever has no right to look, the same for whatever they asked for."""
    return page("report_refused.html", {}, status=403)
