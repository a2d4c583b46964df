"""The operations of the API, asked by name: the same functions on the same database, no HTTP between.

So a verb cannot say anything else than the API does, and what it changes is in the audit log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import typer
from aiohttp import web
from pydantic import BaseModel
from yarl import URL

from dispatcher.cli.base import COMMAND_LINE, Exit, Failure, within
from dispatcher.context import Context
from dispatcher.rules.problem import RefusedError
from dispatcher.web.answers import Reply
from dispatcher.web.keys import Caller
from dispatcher.web.reading import as_body, as_model
from dispatcher.web.routing import Call, Route
from dispatcher.web.scopes import Scope

M = TypeVar("M", bound=BaseModel)

_MASKED: Final = frozenset(Scope) - {Scope.ADMIN, Scope.RECIPIENTS_READ_PII}
_NOT_FOUND: Final = 404


class _CommandLine(Caller):
    """Whoever has the database: may do all, and stands in the audit log as what they used."""

    @property
    def actor(self) -> str:
        return COMMAND_LINE


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that the handlers of JSON operations read of a request, where there is none."""

    match_info: Mapping[str, str]
    rel_url: URL
    query: Mapping[str, str]
    method: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One operation with what stands in its path, query and body; options that are None are left out.

    `match`: the version that somebody has seen, as If-Match names it; `*` for whichever it is.
    `addresses`: personal data in full, as with recipients:read_pii, and whatever else an admin may see.
    """

    operation: str
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: object = None
    match: str | None = None
    addresses: bool = False


async def ask(built: Context, model: type[M], question: Question) -> M:
    """The answer, which is a `model`. Raises Failure or RefusedError with words for an operator."""
    try:
        reply = await _reply(built, question)
    except RefusedError as refused:
        raise _in_words(refused, question) from None
    if not isinstance(reply, Reply) or not isinstance(reply.content, model):
        raise TypeError(f"{question.operation} does not answer with {model.__name__}")
    return reply.content


def answer_to(ctx: typer.Context, model: type[M], operation: str, **question: Any) -> M:
    """Like `ask`, for a verb that asks one thing: `question` has the fields of Question."""
    asked = Question(operation=operation, **question)
    return within(ctx, lambda built: ask(built, model, asked))


@cache
def _operations() -> Mapping[str, Route[Any, Any]]:
    """The table of the API, imported by the first question, because it leads to everything that answers."""
    table: Sequence[Route[Any, Any]] = import_module("dispatcher.web.routes").ROUTES
    return {route.operation: route for route in table}


async def _reply(built: Context, question: Question) -> object:
    route = _operations()[question.operation]
    query = {name: value for name, value in question.query.items() if value is not None}
    in_path = {name: quote(text, safe="") for name, text in question.path.items()}
    request = _Asked(
        match_info=question.path,
        rel_url=URL(route.path.format(**in_path), encoded=True),
        query={name: str(value) for name, value in query.items()},
        method=route.method,
        headers={} if question.match is None else {"If-Match": question.match},
    )
    scopes = frozenset(Scope) if question.addresses else _MASKED
    call = Call(
        # A request of aiohttp needs a connection. Handlers that answer with a Reply read only what is here.
        cast(web.Request, request),
        built,
        _CommandLine(COMMAND_LINE, scopes),
        as_body(question.body, route.body) if route.body else None,
        as_model(query, route.query),
    )
    return await route.handler(call)


def _in_words(refused: RefusedError, question: Question) -> Exception:
    """The refusal as somebody needs it who wrote a command, not a request."""
    if refused.status == _NOT_FOUND and question.path:
        which = ", ".join(repr(text) for text in question.path.values())
        return Failure(Exit.USAGE, f"{refused.title}: {which}.")
    return refused
