"""A route as data: method, path, who may, what comes in, what goes out, and the function that does it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http.client import NOT_MODIFIED, OK
from typing import Any, Generic, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel

from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.problem import FieldProblem
from dispatcher.web.admission import admitted
from dispatcher.web.answers import Reply, WebRefusedError
from dispatcher.web.boundary import CONTEXT
from dispatcher.web.etags import etag_of, is_known
from dispatcher.web.keys import Caller, require
from dispatcher.web.limits import QuotaOf, by_key, client_address, spend
from dispatcher.web.reading import NoQuery, as_body, read_json, read_query
from dispatcher.web.scopes import Guard, Scope
from dispatcher.web.walls import behind_wall, refuse_beyond

B = TypeVar("B", bound=BaseModel | None)
Q = TypeVar("Q", bound=BaseModel)

NOBODY = Caller("", frozenset())
POOL_WAIT_S = 5.0
STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One admitted request: its context, caller, and what was read from body and query."""

    request: web.Request
    ctx: Context
    caller: Caller
    body: B
    query: Q

    @property
    def actor(self) -> str:
        """Who did it, as the audit log names them."""
        return self.caller.actor

    def path(self, name: str) -> str:
        """A part of the path, as the caller wrote it."""
        return self.request.match_info[name]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection to read with what this caller may see; only that is there at all."""
        async with AsyncExitStack() as stack:
            conn = await stack.enter_async_context(self.ctx.pool.acquire(timeout=POOL_WAIT_S))
            if self.caller.limited:
                await stack.enter_async_context(behind_wall(conn, self.caller.user_id))
            yield conn


Plain: TypeAlias = Call[None, NoQuery]
Answer: TypeAlias = Reply | web.StreamResponse
Handler: TypeAlias = Callable[[Call[B, Q]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[B, Q]):
    """One row of the table.

    `replies`: status -> model, where the answer is JSON. `media`: status -> content types where it is
    not; none of them: it is empty. `named_by`: the field of the body that stands in the path already.
    `quota`: how often it may be called; without one as much as anything else with the same key, and
    where no key is needed as often as anybody likes.
    """

    method: str
    path: str
    operation: str
    guard: Scope | Guard
    handler: Handler[B, Q]
    query: type[Q]
    body: type[B] | None = None
    named_by: str = ""
    replies: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    media: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    quota: QuotaOf | None = None

    @property
    def endless(self) -> bool:
        """Whether the answer is a stream that goes on: it has no end whose headers could be asked for."""
        return STREAM in self.media.get(OK, ())


def as_aiohttp(route: Route[Any, Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """What aiohttp calls: admit, count, read, handle, answer, in this order."""

    async def handle(request: web.Request) -> web.StreamResponse:
        ctx = request.app[CONTEXT]
        if any("\x00" in part for part in request.match_info.values()):
            raise WebRefusedError("not-found")
        caller = NOBODY
        if isinstance(route.guard, Scope) or route.guard is Guard.ANY_KEY:
            caller = await admitted(request, wait_s=POOL_WAIT_S)
        # What is refused below was a call as well.
        _count(ctx, request, route, caller)
        if isinstance(route.guard, Scope):
            require(caller, route.guard)
        refuse_beyond(caller, route.operation)
        query = read_query(request, route.query)
        body = await _read_body(request, route, route.body) if route.body else None
        answer = await route.handler(Call(request, ctx, caller, body, query))
        return _response(request, answer) if isinstance(answer, Reply) else answer

    return handle


def _count(ctx: Context, request: web.Request, route: Route[Any, Any], caller: Caller) -> None:
    if caller.key_id:
        spend(request, (route.quota or by_key)(ctx.settings.api), caller.key_id)
    elif route.quota:
        spend(request, route.quota(ctx.settings.api), client_address(request))


def _response(request: web.Request, reply: Reply) -> web.Response:
    """The answer on the wire; what is read has a tag, and is not sent again to who has it."""
    if request.method not in {"GET", "HEAD"} or reply.status != OK:
        return reply.response()
    etag = etag_of(reply.content)
    if is_known(request, etag):
        return web.Response(status=NOT_MODIFIED, headers={**reply.headers, "ETag": etag})
    response = reply.response()
    response.headers["ETag"] = etag
    return response


async def _read_body(
    request: web.Request, route: Route[Any, Any], model: type[BaseModel]
) -> BaseModel:
    value = await read_json(request)
    if route.named_by and isinstance(value, dict):
        name = request.match_info[route.named_by]
        if value.setdefault(route.named_by, name) != name:
            detail = "Differs from the path; leave it out"
            finding = FieldProblem(f"/{route.named_by}", "differs_from_path", detail)
            raise WebRefusedError("invalid-request", problems=[finding])
    return as_body(value, model)
